"""What is found by BM25 as it comes: rank_bm25's BM25Okapi over lower-cased words, as its own README shows it. No stemming, no
stop words, no synonyms.

    reference.py PASSAGES.ndjson QUESTIONS.ndjson

A line of PASSAGES is {"document", "text", "body"}: `text` is searched and has the headings, `body` is the passage alone. A line
of QUESTIONS is {"question", "document", "contains"}. A passage is right when it is of the question's document and its body
contains the string. Prints one JSON object.
"""

import json
import re
import sys
import time

from rank_bm25 import BM25Okapi

LIMIT = 5
REPETITIONS = 20


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def words(text):
    return re.findall(r"\w+", text.lower())


def best(index, passages, question):
    scores = index.get_scores(words(question))
    order = sorted(range(len(passages)), key=lambda at: -scores[at])  # equal ones by their place
    return [passages[at] for at in order[:LIMIT] if scores[at] > 0]


def is_right(passage, question):
    return passage["document"] == question["document"] and question["contains"] in passage["body"]


def main(passages_path, questions_path):
    passages, questions = lines(passages_path), lines(questions_path)
    index = BM25Okapi([words(passage["text"]) for passage in passages])
    found = sum(
        any(is_right(passage, question) for passage in best(index, passages, question["question"])) for question in questions
    )
    started = time.perf_counter()
    for _ in range(REPETITIONS):
        for question in questions:
            best(index, passages, question["question"])
    seconds = (time.perf_counter() - started) / REPETITIONS / len(questions)
    print(json.dumps({"questions": len(questions), "found": found, "seconds_per_question": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
