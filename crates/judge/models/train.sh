#!/bin/sh
# Trains the built-in models from what prepare.py wrote to the folder $1. ASSIZE is the command that trains.
set -eu
cd "$(dirname "$0")"
data=$1
assize=${ASSIZE:-cargo run --release --quiet -p assize --}
fixtures=../tests/fixtures

$assize judge train --data "$data/toxicity.jsonl" --out toxicity.bin --seed 1 --notes toxicity.notes.md \
  --source "Davidson et al. tweets, ConvAbuse, HatemojiBuild, Surge AI toxicity, Wikipedia comments and sentence templates of Conversation AI, GoEmotions, Self-Instruct, GSM8K, and 122 texts of our own" \
  --license "MIT, CC BY 4.0 and Apache 2.0, by source (see below)" \
  --test-data "$fixtures/linear_toxicity.jsonl" --test-data "$data/toxicity_assistants.jsonl" --test-data "$data/toxicity_elsewhere.jsonl"

$assize judge train --data "$data/sentiment.jsonl" --out sentiment.bin --seed 1 --notes sentiment.notes.md \
  --source "GoEmotions, VADER's ground truth (tweets and product reviews), Self-Instruct, GSM8K, and 146 texts of our own" \
  --license "CC BY 4.0, MIT and Apache 2.0, by source (see below)" \
  --test-data "$fixtures/linear_sentiment.jsonl" --test-data "$data/sentiment_questions.jsonl"
