import re
import time

import pytest
import sympy
from hypothesis import example, given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.tasks.modular import ModularAddition, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.polynomials import Polynomial, parse
from tests.cases.tasks import built, check, examples

POWER_2022 = {
    "x²+y²": lambda x, y: x**2 + y**2,
    "x²+xy+y²": lambda x, y: x**2 + x * y + y**2,
    "x²+xy+y²+x": lambda x, y: x**2 + x * y + y**2 + x,
    "x³+xy": lambda x, y: x**3 + x * y,
    "x³+xy²+y": lambda x, y: x**3 + x * y**2 + y,
}
PRIMES = [3, 5, 7, 11]


@pytest.mark.parametrize("expression", POWER_2022)
@pytest.mark.parametrize("p", [3, 7, 97])
def test_the_polynomials_of_power_2022(expression, p):
    task, f = Polynomial(p=p, expression=expression), POWER_2022[expression]
    assert list(examples(task).items()) == [((x, y), f(x, y) % p) for x in range(p) for y in range(p)]
    check(task)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("x²+xy+y²", "x^2+xy+y^2"),
        ("x**2 + x*y + y ** 2", "x^2+xy+y^2"),
        (" - x ^ 2·y − 3 ", "-x^2y-3"),
        ("2*3*x*5y", "30xy"),
        ("xxyx²", "x^4y"),
        ("x¹²", "x^12"),
        ("7", "7"),
        ("+x^0y", "y"),
        ("yx", "xy"),
    ],
)
def test_ways_to_write_one_polynomial(written, plain):
    assert parse(written) == parse(plain)


JUNK = """ + x+ x++y x2 (x+y)^2 x^ x^-1 x^y x^^2 x^2^2 x^2² 2^3 x/y z X x+1.5 1e3 x=y ٣x x^12345 12345x x** **2 *x x*
    ² 2² x,y x***2 --x eval """


@pytest.mark.parametrize("junk", [*JUNK.split(), "", " ", "2 3", "x* *2", "x\ny+", "x" * 201, "x^" + "9" * 10**5])
def test_junk_is_refused_in_one_line(junk):
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        Polynomial(expression=junk)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert time.process_time() - start < 1


@given(st.text("xy0123456789+-*^ ²³·", max_size=12))
@example("x^2 x")
@example("x²³")
def test_whatever_is_accepted_means_what_sympy_reads(text):
    if (task := built(lambda: Polynomial(p=5, expression=text))) is None:
        return
    x, y = sympy.symbols("x y")
    python = re.sub("[²³]+", lambda raised: "^" + raised.group().translate({178: "2", 179: "3"}), text)
    python = "".join(python.split()).replace("·", "*").replace("^", "**")
    python = re.sub(r"(?<=[0-9xy])(?=[xy])", "*", re.sub(r"\b0+(?=[0-9])", "", python))
    f = sympy.sympify(python.lstrip("+"), locals={"x": x, "y": y})
    assert parse(text)
    assert examples(task) == {(a, b): int(f.subs({x: a, y: b})) % 5 for a in range(5) for b in range(5)}


polynomials = st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4)


def spelled(terms: list[tuple[int, int, int]]) -> str:
    return "".join(f"{c:+d}x^{i}y^{j}" for c, i, j in terms)


@given(st.sampled_from([3, 5]), polynomials, polynomials)
def test_terms_are_equal_exactly_if_the_functions_are(p, one, other):
    tasks = [built(lambda terms=terms: Polynomial(p=p, expression=spelled(terms))) for terms in (one, other)]
    cells = [(x, y) for x in range(p) for y in range(p)]
    tables = [[sum(c * x**i * y**j for c, i, j in terms) % p for x, y in cells] for terms in (one, other)]
    assert [task is None for task in tasks] == [len(set(values)) == 1 for values in tables]
    if None in tasks:
        return
    assert [task.table().flatten().tolist() for task in tasks] == tables
    assert (tasks[0].terms == tasks[1].terms) == (tables[0] == tables[1])
    assert all(0 < c < p and i < p and j < p for c, i, j in tasks[0].terms)


@given(st.sampled_from(PRIMES), st.integers(-20, 20), st.integers(-20, 20), st.integers(-20, 20))
def test_a_linear_polynomial_is_a_cyclic_group(p, a, b, c):
    task = built(lambda: Polynomial(p=p, expression=f"{a:+d}x{b:+d}y{c:+d}"))
    assert (task is None) == (a % p == b % p == 0)
    if task is None:
        return
    check(task)
    assert (task.algebra is not None) == (a % p != 0 and b % p != 0)
    assert task.algebra is None or task.algebra.group.name == f"C{p}"


def test_other_polynomials_claim_no_group():
    for expression in (*(f for f in POWER_2022 if "xy" in f.replace("*", "")), "x^2", "3y", "2xy+1", "xy+x"):
        assert Polynomial(p=5, expression=expression).algebra is None
    assert Polynomial(p=3, expression="x³+y").algebra is not None  # x³ = x there


@pytest.mark.parametrize(("expression", "left"), [("x²+y²", [0, 1, 4, 4, 1]), ("2x³-y+3", [0, 2, 1, 4, 3])])
def test_a_sum_of_functions_of_the_operands_is_a_sum_in_the_cyclic_group(expression, left):
    """The values of u(x) are elements of C_p, whether or not u reaches all of them: 2 is no square modulo 5."""
    task = Polynomial(p=5, expression=expression)
    assert task.algebra.left.tolist() == left
    assert task.group_name == "C5"
    check(task)


@given(st.sampled_from(PRIMES), st.integers(1, 20), st.integers(1, 25), st.integers(1, 25))
@example(5, 3, 2, 1)  # 3x²y: the squares are only half of the elements
@example(3, 1, 3, 3)  # xy, for x³ = x there
@example(11, 7, 10, 20)  # 1 wherever neither is 0
def test_a_monomial_is_a_product_of_logarithms(p, c, i, j):
    if (task := built(lambda: Polynomial(p=p, expression=f"{c}x^{i}y^{j}"))) is None:
        assert c % p == 0
        return
    of = task.algebra
    g, left, right, answer = (part.tolist() for part in (of.group.table, of.left, of.right, of.answer))
    assert left[0] == right[0] == answer[0] == -1
    assert g == [[(x + y) % (p - 1) for y in range(p - 1)] for x in range(p - 1)]
    assert sorted(answer[1:]) == list(range(p - 1))
    assert all(answer[a * b % p] == g[answer[a]][answer[b]] for a in range(1, p) for b in range(1, p))
    for (a, b), label in examples(task).items():
        assert label == c * a**i * b**j % p
        assert (label == 0) == (left[a] < 0 or right[b] < 0)
        assert label == 0 or answer[label] == g[left[a]][right[b]]


@pytest.mark.parametrize("p", [*PRIMES, 97])
def test_xy_is_modular_multiplication(p):
    algebra, theirs = (task.algebra for task in (Polynomial(p=p, expression="xy"), ModularMultiplication(p=p)))
    both = [[part.tolist() for part in (*one.operands, one.answer)] for one in (algebra, theirs)]
    assert both[0] == both[1]
    assert algebra.group.table.tolist() == theirs.group.table.tolist()
    check(Polynomial(p=p, expression=f"{p}x^2+xy^{p}"))  # the same function


@pytest.mark.parametrize("expression", ["5", "0", "7x+14y", "x-x", "x^7-x+3", "x²y^3-x^8y^9", "49xy + 2"])
def test_a_constant_polynomial_is_refused(expression):
    with pytest.raises(ConfigError) as caught:
        Polynomial(p=7, expression=expression)
    assert str(caught.value) == f"expression={expression}: must depend on x or y modulo p"
    assert built(lambda: Polynomial(p=7, expression=expression + "+y")) is not None


def test_arithmetic_as_polynomials():
    for expression, task in {"x+y": ModularAddition, "x-y": ModularSubtraction, "xy": ModularMultiplication}.items():
        assert examples(Polynomial(p=11, expression=expression)) == examples(task(p=11))


@given(st.integers(-1, 30), st.sampled_from(list(POWER_2022)))
def test_a_modulus_makes_a_task_or_one_line(p, expression):
    if (task := built(lambda: Polynomial(p=p, expression=expression))) is not None:
        check(task)


def test_a_composite_modulus_is_refused_by_its_factors():
    with pytest.raises(ConfigError, match=r"^p=91: must be prime, 91 = 7 · 13: polynomials need a field$"):
        Polynomial(p=91)


def test_the_largest_polynomial_is_fast():
    start = time.process_time()
    task = Polynomial(p=997, expression="+".join(f"x^{i}y" for i in range(30)))
    assert task.n_examples == 997**2
    assert int(task.table()[2, 3]) == (2**30 - 1) * 3 % 997
    assert time.process_time() - start < 5
