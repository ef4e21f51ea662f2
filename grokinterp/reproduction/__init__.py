"""Published numbers about trained networks, and the same networks measured again."""
