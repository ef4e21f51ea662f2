"""Published numbers, and the measurements that compare with them."""
