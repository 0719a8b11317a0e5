#!/usr/bin/env python3
"""A judge as a script: which share of the numbers in an answer stands neither in the question nor in the documents?

Assize starts it as often as `workers` says and keeps it running. Each question is one JSON object in a line of stdin, each answer one
JSON object in a line of stdout with the same id. Talk belongs on stderr. Only the standard library is needed.

    [[judge]]
    name = "numbers"
    kind = "command"
    command = ["python3", "examples/judges/python_judge.py"]

    [[metric]]
    name = "made-up-numbers"
    cascade = ["numbers"]
"""

import json
import re
import sys

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def numbers(text):
    """The numbers of a text, whatever separates their thousands."""
    return {re.sub(r"[.,]", "", number) for number in NUMBER.findall(text)}


def judge(asked):
    known = set()
    for text in [asked["input"], asked.get("system", ""), *asked.get("context", [])]:
        known |= numbers(text)
    said = numbers(asked["output"])
    made_up = said - known
    if not said:
        return {"score": 0.0, "label": "no numbers", "confidence": 1.0, "reason": "The answer holds no number."}
    score = len(made_up) / len(said)
    reason = f"{len(made_up)} of {len(said)} numbers stand neither in the question nor in the documents."
    return {"score": score, "label": "made up" if made_up else "supported", "reason": reason}


def main():
    # What takes long, such as loading a model, comes here; then the time for an answer begins.
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = judge(asked)
        except Exception as error:  # One interaction that fails must not end the worker.
            answer = {"error": type(error).__name__}
        print(json.dumps({"id": asked["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
