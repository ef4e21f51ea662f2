"""A league of methods: the same runs by every one, compared as survival curves on one page."""
