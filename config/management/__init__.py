"""Commands that start or test the whole: `up`, `demo`, `worker`, `test`."""
