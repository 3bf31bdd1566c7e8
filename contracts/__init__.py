"""The contract gate: what this tree sends, reads and answers, compared with every release."""
