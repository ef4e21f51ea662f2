// The numbers of a panel at one checkpoint as rows, a row for each number.
const panelRows = (data) => {
  const AXES = {
    embedding_power: ["frequency"], neuron_frequency: ["quantity", "neuron"], embedding_circle: ["key", "axis", "exponent"],
    attention_to_a: ["head", "a", "b"], attention_mean: ["head", "position"], logit_by_label: ["label", "class"],
  };
  const NAMES = {
    frequency: (k) => k + 1, quantity: (q) => ["frequency", "explained"][q], axis: (q) => ["cosine", "sine"][q],
  };
  return (name, panel, i) => {
    const axes = AXES[name], frame = panel.frame(i), p = panel.shape[panel.shape.length - 1];
    const shape = panel.separable ? [panel.shape[1], p, p] : panel.shape.slice(1), every = panel.every || 1;
    const rows = [["step", ...axes, "value"]], count = shape.reduce((product, n) => product * n, 1);
    for (let j = 0; j < count; j++) {
      let rest = j;
      const at = shape.map((n, d) => {
        const size = shape.slice(d + 1).reduce((product, m) => product * m, 1), index = Math.floor(rest / size);
        rest -= index * size;
        return index;
      });
      let value = frame[j];
      if (panel.separable) value = 1 / (1 + Math.exp(frame[(2 * at[0] + 1) * p + at[2]] - frame[2 * at[0] * p + at[1]]));
      if (panel.reach) value = (2 * value - 1) * panel.reach[i];
      const thinned = ["a", "b", "label", "class"], named = at.map((index, d) => {
        if (axes[d] === "key") return panel.keys[index];
        if (axes[d] === "head" && panel.rows) return panel.rows[index];
        if (NAMES[axes[d]]) return NAMES[axes[d]](index);
        return thinned.includes(axes[d]) ? index * every : index;
      });
      if (named[0] === "frequency") value = Math.round(value);
      rows.push([data.steps[i], ...named, Number.isFinite(value) ? Number(value.toPrecision(5)) : ""]);
    }
    return rows;
  };
};
