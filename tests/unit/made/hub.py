"""What the hub has, as a config and a job name it."""

JUDGE = {"kind": "transformers", "model": "org/tiny", "revision": None, "method": "classification"}
JUDGE |= {"labels": {"rude": "toxicity"}, "hypothesis": None, "entailment": None, "threshold": 0.5}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
