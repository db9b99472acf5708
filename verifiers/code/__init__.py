"""The code verifier: finds the program in a response and counts the tests that it passes."""
