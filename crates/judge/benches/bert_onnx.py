"""ONNX Runtime's turn in the benchmark of local BERT models (`bert.rs` starts it).

Exports the model once, then for each line `fp32` or `int8` on standard input computes all texts once, on one thread, one text at a
time (the fastest batch size on the machines it was tried on), and answers with the texts per CPU-second.
"""

import os
import sys
import tempfile
import time
import warnings

import numpy
import onnxruntime

MODEL, TEXTS, TOKENS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
NAMES = ["input_ids", "attention_mask", "token_type_ids"]


def export(path):
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(MODEL, attn_implementation="eager").eval()

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            given = dict(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return self.model(**given).last_hidden_state

    ids = torch.ones(2, TOKENS, dtype=torch.long)
    axes = {name: {0: "texts", 1: "tokens"} for name in NAMES}
    torch.onnx.export(Encoder(), (ids, ids, ids * 0), path, input_names=NAMES, output_names=["vectors"], dynamic_axes=axes,
                      opset_version=17, dynamo=False)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        paths = {kind: os.path.join(folder, kind + ".onnx") for kind in ("fp32", "int8")}
        export(paths["fp32"])
        quantize_dynamic(paths["fp32"], paths["int8"], weight_type=QuantType.QInt8)
        sessions = {kind: session(path) for kind, path in paths.items()}
    ids = numpy.random.default_rng(7).integers(1000, 30000, size=(1, TOKENS), dtype=numpy.int64)
    given = dict(zip(NAMES, (ids, numpy.ones_like(ids), numpy.zeros_like(ids))))
    for known in sessions.values():
        known.run(None, given)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        chosen = sessions[line.strip()]
        before = time.process_time()
        for _ in range(TEXTS):
            chosen.run(None, given)
        print(TEXTS / (time.process_time() - before), file=answers, flush=True)


main()
