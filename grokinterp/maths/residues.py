"""Primes, primitive roots and discrete logarithms, for small moduli."""

from jaxtyping import Int

from grokinterp.lazy import Tensor, torch


def prime_factors(n: int) -> tuple[int, ...]:
    """Return the primes whose product is n >= 1, in ascending order, by trial division.

    >>> prime_factors(12), prime_factors(97)
    ((2, 2, 3), (97,))
    """
    factors, divisor = [], 2
    while divisor * divisor <= n:
        if n % divisor:
            divisor += 1
        else:
            factors.append(divisor)
            n //= divisor
    return (*factors, n) if n > 1 else tuple(factors)


def is_prime(n: int) -> bool:
    """Return whether n has exactly two divisors.

    >>> [n for n in range(20) if is_prime(n)]
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    return n > 1 and len(prime_factors(n)) == 1


def primitive_root(p: int) -> int:
    """Return the smallest g whose powers are all of 1, ..., p - 1 modulo the prime p.

    g is a primitive root if and only if g^((p-1)/q) is not 1 for any prime factor q of p - 1.

    >>> primitive_root(7), primitive_root(113)
    (3, 3)
    """
    cofactors = [(p - 1) // q for q in set(prime_factors(p - 1))]
    return next(g for g in range(1, p) if all(pow(g, cofactor, p) != 1 for cofactor in cofactors))


def discrete_logarithm(p: int) -> Int[Tensor, "residue"]:
    """Return k in [0, p - 1) with x = g^k mod p, for the smallest primitive root g of the prime p; -1 for x = 0.

    It turns products into sums: log(ab) = log a + log b mod p - 1.

    >>> discrete_logarithm(7).tolist()  # the powers of 3 are 1, 3, 2, 6, 4, 5
    [-1, 0, 2, 1, 4, 5, 3]
    """
    logarithm, power, root = torch.full((p,), -1), 1, primitive_root(p)
    for exponent in range(p - 1):
        logarithm[power] = exponent
        power = power * root % p
    return logarithm
