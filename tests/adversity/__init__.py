"""Everything broken at the worst moment: the whole service under writers, viewers and a fault, judged by the oracle."""
