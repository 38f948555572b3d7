"""Tests of the house: the environment, the embedded server, the host application, the rules of the code."""
