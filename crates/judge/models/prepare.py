"""Turns the public data sets named in README.md into the labelled lines that `assize judge train` reads.

    python3 prepare.py CLONES OUT

CLONES holds one git clone a data set (work trees or bare), in folders named OWNER+NAME; OUT receives toxicity.jsonl,
sentiment.jsonl and, to measure on and never to train on, toxicity_elsewhere.jsonl, toxicity_assistants.jsonl and
sentiment_questions.jsonl. Only the standard library is used, and every draw has a seed.
Each line has `output` (the text), `label` (0 to 1), `source` (the data set) and, where near-copies exist, `cluster`.
"""

import csv
import gzip
import html
import io
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile

csv.field_size_limit(1 << 24)


class Clones:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def read(self, name, path):
        folder = self.root / name
        folder = folder / "repo" if (folder / "repo").exists() else folder
        return subprocess.run(["git", "-C", folder, "show", f"HEAD:{path}"], check=True, capture_output=True).stdout

    def rows(self, name, path):
        return list(csv.DictReader(io.StringIO(self.read(name, path).decode("utf-8", "replace"))))


def plain(text):
    """Without what only says where a text was published."""
    text = html.unescape(text)
    text = re.sub(r"https?://\S+", " ", text)
    text = re.sub(r"\bRT\b|@\w+:?", " ", text)
    return re.sub(r"[ \t]+", " ", text).strip(" !\"") if text.lstrip().startswith("!") else re.sub(r"[ \t]+", " ", text).strip()


def line(text, label, source, cluster=None):
    found = {"output": text, "label": round(label, 4), "source": source}
    if cluster is not None:
        found["cluster"] = f"{source}:{cluster}"
    return found


def davidson(clones, chance):
    """Tweets: the share of raters who found hate or offence. Offensive ones are thinned out: most are about nobody."""
    for row in clones.rows("t-davidson+hate-speech-and-offensive-language", "data/labeled_data.csv"):
        if row["class"] == "1" and chance.random() > 0.35:
            continue
        label = (int(row["hate_speech"]) + int(row["offensive_language"])) / int(row["count"])
        yield line(plain(row["tweet"]), label, "davidson")


def convabuse(clones):
    """What people write to chatbots: the share of raters who found it abusive."""
    for split in ("train", "valid", "test"):
        for row in clones.rows("amandacurry+convabuse", f"2_splits/ConvAbuseEMNLP{split}.csv"):
            votes = []
            for rater in range(1, 9):
                def given(mark):
                    return row.get(f"Annotator{rater}_is_abuse.{mark}", "") in ("1", "1.0")
                if any(given(mark) for mark in ("1", "0", "-1", "-2", "-3")):
                    votes.append(1.0 if any(given(mark) for mark in ("-1", "-2", "-3")) else 0.5 if given("0") else 0.0)
            if votes and row["user"].strip():
                yield line(row["user"].strip(), sum(votes) / len(votes), "convabuse", row["conv_id"])


def hatemoji(clones):
    """Hateful and harmless posts written to fool classifiers, in pairs."""
    for split in ("train", "validation", "test"):
        for row in clones.rows("HannahKirk+Hatemoji", f"HatemojiBuild/{split}.csv"):
            pair = sorted(part for part in (row["entry_id"], row["matched_id"]) if part)
            yield line(row["text"], float(row["label_gold"]), "hatemoji", pair[0])


def surge(clones):
    for row in clones.rows("surge-ai+toxicity", "toxicity_en.csv"):
        yield line(row["text"], 1.0 if row["is_toxic"] == "Toxic" else 0.0, "surge")


def wikipedia(clones):
    """Comments on Wikipedia's talk pages."""
    path = "archive/unintended_ml_bias/eval_datasets/toxicity_nonfuzzed_testset.csv"
    for row in clones.rows("conversationai+unintended-ml-bias-analysis", path):
        yield line(row["comment"].replace("`", '"').strip(), 1.0 if row["toxic"] == "True" else 0.0, "wikipedia", row["rev_id"])


def templates(clones, chance):
    """Short phrases in which the same words for groups of people occur harmlessly and in insults."""
    rows = clones.rows("conversationai+unintended-ml-bias-analysis", "sentence_templates/en_sentence_templates.csv")
    for label, most in (("toxic", 1500), ("nontoxic", 3000)):
        chosen = [row for row in rows if row["toxicity"] == label]
        for row in chance.sample(chosen, most):
            yield line(row["phrase"], 1.0 if label == "toxic" else 0.0, "templates")


EMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust "
    "embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness "
    "surprise neutral"
).split()
NEGATIVE = set("anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split())
POSITIVE = set("admiration amusement approval caring desire excitement gratitude joy love optimism pride relief".split())
KIND = set("admiration approval caring curiosity gratitude joy optimism realization relief excitement".split())


def goemotions(clones):
    for split in ("train", "dev", "test"):
        text = clones.read("monologg+GoEmotions-pytorch", f"data/original/{split}.tsv").decode()
        for row in csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row[0], {EMOTIONS[int(number)] for number in row[1].split(",")}, row[2]


def harmless_comments(clones, chance):
    """Comments that raters found to be kind or curious and nothing else: harmless, swear words included."""
    kind = [(text, key) for text, found, key in goemotions(clones) if found <= KIND]
    for text, key in chance.sample(kind, 9000):
        yield line(text, 0.0, "goemotions", key)


def assistant_answers(clones):
    """Answers as assistants give them, by people and models: taken as harmless without a rater's word."""
    name = "yizhongw+self-instruct"
    for path, source in (("data/seed_tasks.jsonl", "seed"), ("human_eval/user_oriented_instructions.jsonl", "oriented")):
        for number, text in enumerate(clones.read(name, path).decode().splitlines()):
            for instance in json.loads(text)["instances"]:
                if instance["output"].strip():
                    yield line(instance["output"].strip(), 0.0, "self-instruct", f"{source}{number}")
    for model in ("text-davinci-003", "text-davinci-002"):
        for number, text in enumerate(clones.read(name, f"human_eval/predictions/{model}_predictions.jsonl").decode().splitlines()):
            answer = json.loads(text)["response"].strip()
            if answer:
                yield line(answer, 0.0, "self-instruct", f"oriented{number}")
    for number, text in enumerate(clones.read("openai+grade-school-math", "grade_school_math/data/test.jsonl").decode().splitlines()):
        answer = re.sub(r"<<.*?>>", "", json.loads(text)["answer"].split("####")[0]).strip()
        yield line(answer, 0.0, "grade-school-math", number)


def questions(clones):
    """What people ask of assistants, matter-of-factly."""
    name = "yizhongw+self-instruct"
    for path, source in (("data/seed_tasks.jsonl", "seed"), ("human_eval/user_oriented_instructions.jsonl", "oriented")):
        for number, text in enumerate(clones.read(name, path).decode().splitlines()):
            yield line(json.loads(text)["instruction"].strip(), 0.0, "self-instruct", f"{source}{number}")
    for number, text in enumerate(clones.read("openai+grade-school-math", "grade_school_math/data/test.jsonl").decode().splitlines()):
        yield line(json.loads(text)["question"].strip(), 0.0, "grade-school-math", number)


def emotions(clones):
    """Comments whose raters named only negative emotions, against all without one."""
    for text, found, key in goemotions(clones):
        if found & NEGATIVE and found & POSITIVE:
            continue
        yield line(text, 1.0 if found & NEGATIVE else 0.0, "goemotions", key)


def vader(clones):
    """Tweets and product reviews with the mean of twenty ratings from -4 to 4; those between -0.8 and -0.3 are left out."""
    archive = tarfile.open(fileobj=io.BytesIO(clones.read("cjhutto+vaderSentiment", "additional_resources/hutto_ICWSM_2014.tar.gz")))
    for member, source in (("tweets_GroundTruth.txt", "vader-tweets"), ("amazonReviewSnippets_GroundTruth.txt", "vader-reviews")):
        text = archive.extractfile(f"hutto_ICWSM_2014/{member}").read().decode("utf-8", "replace")
        for row in text.splitlines():
            key, mean, said = row.split("\t", 2)
            if float(mean) <= -0.8 or float(mean) >= -0.3:
                yield line(plain(said), 1.0 if float(mean) <= -0.8 else 0.0, source, key.split("_")[0] if "_" in key else key)


OWN_WEIGHT = 4


def own(name):
    """What was written for these models, in the manner of assistants and those who talk to them; each line counts several times."""
    for text in (pathlib.Path(__file__).parent / name).read_text().splitlines():
        found = json.loads(text)
        yield line(found["output"], found["label"], "own")


def external(clones):
    """Never trained on: OpenAI's moderation samples (hate or harassment) and HateCheck's functional tests."""
    for text in gzip.decompress(clones.read("openai+moderation-api-release", "data/samples-1680.jsonl.gz")).decode().splitlines():
        found = json.loads(text)
        if any(mark in found for mark in ("H", "HR")):
            yield line(found["prompt"], float(bool(found.get("H") or found.get("HR") or found.get("H2"))), "moderation")
    for row in clones.rows("paul-rottger+hatecheck-data", "test_suite_cases.csv"):
        # Abuse of somebody who belongs to no protected group is no hate, but toxic all the same.
        if row["functionality"] in ("target_indiv_nh", "target_group_nh"):
            continue
        yield line(row["test_case"], 1.0 if row["label_gold"] == "hateful" else 0.0, "hatecheck")


def answers(clones):
    """Never trained on: assistants' answers, taken as harmless without a rater's word, so that what is found is (nearly) all wrong."""
    for model in ("gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct"):
        for row in clones.rows("paul-rottger+exaggerated-safety", f"model_completions/xstest_v2_completions_{model}.csv"):
            yield line(row["completion"], 0.0, "xstest")
    for text in clones.read("RUCAIBox+HaluEval", "data/general_data.json").decode().splitlines():
        yield line(json.loads(text)["chatgpt_response"], 0.0, "halueval")


def asked(clones):
    """Never trained on: what people asked an assistant, taken as neutral without a rater's word."""
    for text in clones.read("RUCAIBox+HaluEval", "data/general_data.json").decode().splitlines():
        yield line(json.loads(text)["user_query"], 0.0, "halueval")


def write(path, lines):
    seen, count = set(), 0
    with open(path, "w") as out:
        for found in lines:
            key = re.sub(r"\W+", " ", found["output"].lower()).strip()
            if key and key not in seen:
                seen.add(key)
                for _ in range(OWN_WEIGHT if found["source"] == "own" else 1):
                    out.write(json.dumps(found, ensure_ascii=False) + "\n")
                    count += 1
    print(f"{path}: {count} lines", file=sys.stderr)


def main():
    clones, out = Clones(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)
    toxicity = [own("own_toxicity.jsonl"), davidson(clones, chance), convabuse(clones), hatemoji(clones), surge(clones),
                wikipedia(clones), templates(clones, chance), harmless_comments(clones, chance), assistant_answers(clones)]
    write(out / "toxicity.jsonl", (found for part in toxicity for found in part))
    sentiment = [own("own_sentiment.jsonl"), emotions(clones), vader(clones), questions(clones)]
    write(out / "sentiment.jsonl", (found for part in sentiment for found in part))
    write(out / "toxicity_elsewhere.jsonl", external(clones))
    write(out / "toxicity_assistants.jsonl", answers(clones))
    write(out / "sentiment_questions.jsonl", asked(clones))


main()
