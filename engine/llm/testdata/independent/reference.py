"""Runs every case of a folder in float64 with numpy, reading the GGUF file as
llama.cpp does, and merges what llama.cpp said into FOLDER/vectors.json.

    python3 reference.py FOLDER

Stops if the two disagree about a token, or about a logit by more than 1e-3, or if
a token wins by so little that another order of float32 sums could change it.
"""
import json
import pathlib
import struct
import sys

import numpy as np

LEAST_MARGIN = 5e-4


def read_gguf(path):
    data, at = path.read_bytes(), 0

    def take(layout):
        nonlocal at
        values = struct.unpack_from("<" + layout, data, at)
        at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, count = take("IQ")
            return [value(kind) for _ in range(count)]
        return take("BbHhIif?.QqdX"[kind])

    assert data[:4] == b"GGUF"
    at = 4
    _, tensors, keys = take("IQQ")
    meta = {}
    for _ in range(keys):
        key = text()
        meta[key] = value(take("I"))
    infos = []
    for _ in range(tensors):
        name = text()
        dims = [take("Q") for _ in range(take("I"))]
        kind, offset = take("IQ")
        assert kind == 0, "float32 only"
        infos.append((name, dims[::-1], offset))
    base = (at + 31) // 32 * 32
    weights = {}
    for name, shape, offset in infos:
        flat = np.frombuffer(data, "<f4", int(np.prod(shape)), base + offset)
        weights[name] = flat.reshape(shape).astype(np.float64)
    return meta, weights


class Model:
    def __init__(self, path):
        meta, self.weights = read_gguf(path)
        key = lambda name: meta["llama." + name]
        self.layers, self.dim = key("block_count"), key("attention.key_length")
        self.heads, self.kv_heads = key("attention.head_count"), key("attention.head_count_kv")
        self.eps = key("attention.layer_norm_rms_epsilon")
        self.frequencies = key("rope.freq_base") ** (-np.arange(0, self.dim, 2) / self.dim)
        self.frequencies /= self.weights.get("rope_freqs.weight", 1.0)

    def norm(self, x, name):
        return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + self.eps) * self.weights[name]

    def rotate(self, x):  # [tokens, heads, dim], partners are neighbours
        angles = np.arange(len(x))[:, None, None] * self.frequencies
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
        out[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
        return out

    def logits(self, tokens):
        """Of every position; nothing is cached."""
        w, n = self.weights, len(tokens)
        x = w["token_embd.weight"][tokens]
        mask = np.triu(np.full((n, n), -np.inf), 1)
        for layer in range(self.layers):
            part = lambda name: w[f"blk.{layer}.{name}.weight"]
            h = self.norm(x, f"blk.{layer}.attn_norm.weight")
            q = self.rotate((h @ part("attn_q").T).reshape(n, self.heads, self.dim))
            k = self.rotate((h @ part("attn_k").T).reshape(n, self.kv_heads, self.dim))
            v = (h @ part("attn_v").T).reshape(n, self.kv_heads, self.dim)
            group = self.heads // self.kv_heads
            k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(self.dim) + mask
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            mixed = np.einsum("hqk,khd->qhd", scores, v).reshape(n, -1)
            x = x + mixed @ part("attn_output").T
            h = self.norm(x, f"blk.{layer}.ffn_norm.weight")
            gate = h @ part("ffn_gate").T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ part("ffn_up").T)) @ part("ffn_down").T
        head = w.get("output.weight", w["token_embd.weight"])
        return self.norm(x, "output_norm.weight") @ head.T


def main(folder):
    cases, margin, worst = [], np.inf, 0.0
    for path in sorted(folder.glob("*.gguf")):
        case = json.loads(path.with_suffix(".json").read_text())
        other = json.loads(path.with_suffix(".llamacpp.json").read_text())
        model, answers = Model(path), []
        for prompt, said in zip(case.pop("Prompts"), other["answers"]):
            # One pass over prompt and answer gives the logits that led to each token.
            logits = model.logits(prompt + said["tokens"][:-1])[len(prompt) - 1:]
            for step, row in enumerate(logits):
                where = f"{case['Name']}, prompt of {len(prompt)}, step {step}"
                first, second = np.sort(row)[:-3:-1]
                margin = min(margin, first - second)
                if row.argmax() != said["tokens"][step] or first - second < LEAST_MARGIN:
                    sys.exit(f"{where}: {row.argmax()} leads by {first - second}, llama.cpp says {said['tokens'][step]}")
                for top in said["top"][step]:
                    worst = max(worst, abs(row[top["token"]] - top["logit"]))
            answers.append({
                "Prompt": prompt, "Tokens": said["tokens"],
                # The whole vocabulary would be long; some of its tokens tell as much.
                "Logits": [
                    {"Step": step, "Token": int(token), "Logit": float(f"{logits[step][token]:.9g}")}
                    for step in (0, 1, len(logits) - 1)
                    for token in sorted({0, 1, len(logits[step]) // 2, len(logits[step]) - 1, said["tokens"][step]})
                ],
            })
        cases.append(case | {"Answers": answers})
    if worst > 1e-3:
        sys.exit(f"a logit of llama.cpp is off by {worst}")
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "vectors.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} cases; logits of llama.cpp {other['release']} are within {worst:.2g}, "
          f"the closest winner leads by {margin:.2g}")


main(pathlib.Path(sys.argv[1]))
