-- The database of sweeps (docs/database.md). An epoch is an optimizer step: with full batches the two are the same.

-- A sweep that is listed in a sweep.json, or, with a name that ends in "/", a folder with runs that no sweep lists.
CREATE TABLE experiments (
  experiment TEXT PRIMARY KEY,   -- its name, after the folder of its sweep.json if that is not the root
  about TEXT NOT NULL,
  listed INTEGER NOT NULL,       -- runs that it lists, whether they have begun or not
  fixed TEXT NOT NULL,           -- JSON: the settings that all its runs share, by dotted key
  impossible TEXT NOT NULL       -- JSON: combinations of values without a run, each with the reason
);

CREATE TABLE runs (
  run_id TEXT PRIMARY KEY,       -- the hash of the configuration
  directory TEXT NOT NULL,       -- within the root
  experiments TEXT NOT NULL,     -- all experiments to which the run belongs, separated by spaces
  name TEXT,
  setting_id TEXT,               -- the hash of the configuration without its seed: equal for runs that differ in seed only
  task TEXT,
  prime INTEGER,
  train_fraction REAL,
  model TEXT,
  d_model INTEGER,
  d_mlp INTEGER,
  n_layers INTEGER,
  n_heads INTEGER,
  ratio REAL,                    -- d_model / prime
  optimizer TEXT,
  loss TEXT,
  learning_rate REAL,
  weight_decay REAL,
  batch_size INTEGER,            -- NULL: full batches
  seed INTEGER,
  epochs INTEGER,                -- the budget
  evaluate_every INTEGER,
  configuration TEXT NOT NULL,   -- JSON: everything, nested as in experiment.json
  status TEXT NOT NULL,          -- running, finished, interrupted, diverged, stopped, failed or unknown
  why TEXT,                      -- the reason for the status, if there is one
  verdict TEXT,
  phases TEXT NOT NULL,          -- JSON: [{"name": "memorization", "start": 0, "stop": 120}, ...]
  memorized_epoch INTEGER,
  generalized_epoch INTEGER,
  grok_epoch INTEGER,            -- the first of ten consecutive evaluations with a test accuracy of at least 0.95
  horizon INTEGER,               -- the last epoch at which grok_epoch could lie: where a run without one is censored
  last_epoch INTEGER,
  evaluations INTEGER NOT NULL,
  final_train_loss REAL,
  final_test_loss REAL,
  final_train_accuracy REAL,
  final_test_accuracy REAL,
  final_weight_norm REAL,        -- the sum of squared weights
  not_finite TEXT,               -- the final measures that are NaN or infinite, separated by spaces
  seconds REAL,                  -- wall time of training, where it was recorded
  damage TEXT,                   -- what is damaged in the files of the run and was left out
  source TEXT NOT NULL           -- the state of the files: names, sizes and times of change
);

-- One row per evaluation. NULL: not measured; or, if not_finite names the column, NaN or infinite.
CREATE TABLE metrics (
  run_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  train_loss REAL,
  test_loss REAL,
  validation_loss REAL,
  train_accuracy REAL,
  test_accuracy REAL,
  validation_accuracy REAL,
  gradient_norm REAL,
  weight_norm REAL,
  learning_rate REAL,
  weight_decay REAL,
  batch_size REAL,
  logit_mean_abs REAL,
  logit_max_abs REAL,
  logit_margin REAL,
  average_train_loss REAL,
  average_test_loss REAL,
  average_validation_loss REAL,
  average_train_accuracy REAL,
  average_test_accuracy REAL,
  average_validation_accuracy REAL,
  not_finite TEXT,
  others TEXT,                   -- JSON: all other metrics, except those of single parameters
  PRIMARY KEY (run_id, epoch)
) WITHOUT ROWID;

-- Every run once for each of its experiments. It is decided if it ended, or was stopped by a prediction that it will not
-- grok within its budget; then it is a failure, and predicted. Other runs are undecided, whether or not they have grokked
-- yet: if they counted only once they have, success rates would be too high.
CREATE VIEW run_summary AS
SELECT
  e.experiment, r.run_id, r.name, r.setting_id, r.task, r.prime, r.model, r.d_model, r.ratio, r.train_fraction,
  r.learning_rate, r.weight_decay, r.seed, r.epochs, r.status, r.why, r.verdict, r.memorized_epoch, r.grok_epoch,
  CASE WHEN r.grok_epoch IS NOT NULL THEN 1 ELSE 0 END AS grokked,
  CASE WHEN r.status IN ('finished', 'diverged', 'stopped') THEN 1 ELSE 0 END AS decided,
  CASE WHEN r.status = 'stopped' AND r.grok_epoch IS NULL THEN 1 ELSE 0 END AS predicted,
  r.horizon, r.last_epoch, r.evaluations, r.final_train_loss, r.final_test_loss, r.final_train_accuracy,
  r.final_test_accuracy, r.final_weight_norm, r.seconds, r.damage, r.directory
FROM runs AS r
JOIN experiments AS e ON instr(' ' || r.experiments || ' ', ' ' || e.experiment || ' ') > 0;

-- Runs that differ only in seed: how many of the decided ones grokked, how many failures are predictions, and when those
-- that grokked did.
CREATE VIEW ratio_sweep_stats AS
SELECT
  experiment, task, prime, weight_decay, d_model, ratio, setting_id,
  count(*) AS seeds,
  sum(decided) AS decided,
  sum(decided AND grokked) AS grokked,
  sum(predicted) AS predicted,
  avg(CASE WHEN decided THEN grok_epoch END) AS mean_grok_epoch,
  min(CASE WHEN decided THEN grok_epoch END) AS min_grok_epoch,
  max(CASE WHEN decided THEN grok_epoch END) AS max_grok_epoch
FROM run_summary
WHERE ratio IS NOT NULL
GROUP BY experiment, task, prime, weight_decay, d_model, ratio, setting_id
ORDER BY experiment, task, prime, weight_decay, ratio, setting_id;

-- All decided runs of a task, each once: the share that grokked within the budget, and how many failures are predictions.
CREATE VIEW phase_boundary AS
SELECT
  task, prime, weight_decay, ratio,
  count(*) AS runs,
  count(grok_epoch) AS grokked,
  1.0 * count(grok_epoch) / count(*) AS success_rate,
  count(CASE WHEN status = 'stopped' AND grok_epoch IS NULL THEN 1 END) AS predicted,
  min(epochs) AS min_epochs,
  max(epochs) AS max_epochs
FROM runs
WHERE ratio IS NOT NULL AND status IN ('finished', 'diverged', 'stopped')
GROUP BY task, prime, weight_decay, ratio
ORDER BY task, prime, weight_decay, ratio;

CREATE VIEW experiment_overview AS
SELECT
  e.experiment, e.about, e.listed,
  count(s.run_id) AS runs,
  count(CASE WHEN s.status = 'finished' THEN 1 END) AS finished,
  count(CASE WHEN s.status = 'diverged' THEN 1 END) AS diverged,
  count(CASE WHEN s.status = 'stopped' THEN 1 END) AS stopped,
  count(CASE WHEN s.status = 'failed' THEN 1 END) AS failed,
  count(CASE WHEN s.status IN ('running', 'interrupted', 'unknown') THEN 1 END) AS unfinished,
  count(s.grok_epoch) AS grokked,
  min(s.grok_epoch) AS fastest_grok_epoch,
  (SELECT f.run_id FROM run_summary AS f WHERE f.experiment = e.experiment AND f.grok_epoch IS NOT NULL
   ORDER BY f.grok_epoch, f.run_id LIMIT 1) AS fastest_run,
  max(s.grok_epoch) AS slowest_grok_epoch,
  (SELECT l.run_id FROM run_summary AS l WHERE l.experiment = e.experiment AND l.grok_epoch IS NOT NULL
   ORDER BY l.grok_epoch DESC, l.run_id LIMIT 1) AS slowest_run,
  sum(s.evaluations) AS evaluations
FROM experiments AS e
LEFT JOIN run_summary AS s ON s.experiment = e.experiment
GROUP BY e.experiment, e.about, e.listed
ORDER BY e.experiment;
