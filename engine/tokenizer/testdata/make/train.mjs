// Trains small vocabularies on corpus.txt and writes them as tokenizer.json files,
// one a kind of tokenizer, and the SentencePiece one also with scores.
//   node train.mjs FOLDER
import fs from "node:fs";
import path from "node:path";

const here = path.dirname(new URL(import.meta.url).pathname);
const corpus = fs.readFileSync(path.join(here, "corpus.txt"), "utf8");
const folder = process.argv[2];

const patterns = {
    gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    llama3: "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};
patterns.qwen2 = patterns.llama3.replace("{1,3}", "");

// Byte-level spelling.
const letters = [];
for (let b = 0, n = 256; b < 256; b++)
    letters.push(String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : n++));
const spell = (text) => [...Buffer.from(text)].map((b) => letters[b]);

// Merges of the commonest pair, over words that are lists of tokens.
function train(words, count) {
    const merges = [];
    while (merges.length < count) {
        const pairs = new Map();
        for (const {tokens, times} of words)
            for (let i = 1; i < tokens.length; i++) {
                const key = tokens[i - 1] + "\u0000" + tokens[i];
                pairs.set(key, (pairs.get(key) ?? 0) + times);
            }
        const best = [...pairs].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a));
        const [left, right] = best[0].split("\u0000");
        merges.push([left, right]);
        for (const word of words) {
            const out = [];
            for (const token of word.tokens)
                if (token === right && out.at(-1) === left)
                    out[out.length - 1] += right;
                else
                    out.push(token);
            word.tokens = out;
        }
    }
    return merges;
}

function write(name, value) {
    fs.writeFileSync(path.join(folder, name), JSON.stringify(value) + "\n");
}

const special = (id, content, more) => ({id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...more});

// Byte-level vocabularies share their merges, which are those of Llama 3's words.
const counts = new Map();
const words = corpus.matchAll(/'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu);
for (const [word] of words)
    counts.set(word, (counts.get(word) ?? 0) + 1);
const merges = train([...counts].map(([word, times]) => ({tokens: spell(word), times})), 420);
const vocab = Object.fromEntries([...letters, ...new Set(merges.map((m) => m.join("")))].map((token, id) => [token, id]));
const size = Object.keys(vocab).length;
// Tokens that no merges lead to: only whole words find them.
const unreachable = ["\u0120cluster-wide", "hello"];
const split = (pattern) => ({type: "Sequence", pretokenizers: [
    {type: "Split", pattern: {Regex: pattern}, behavior: "Isolated", invert: false},
    {type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false}
]});
const plain = {type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true};
const begin = {type: "TemplateProcessing",
    single: [{SpecialToken: {id: "<|begin|>", type_id: 0}}, {Sequence: {id: "A", type_id: 0}}],
    pair: [{Sequence: {id: "A", type_id: 0}}, {Sequence: {id: "B", type_id: 1}}],
    special_tokens: {"<|begin|>": {id: "<|begin|>", ids: [size + 2], tokens: ["<|begin|>"]}}};
function byteLevel(name, pre, more = {}, asLines = false) {
    write(name, {
        version: "1.0", truncation: null, padding: null,
        added_tokens: [
            special(size + 2, "<|begin|>"), special(size + 3, "<|end|>"), special(size + 4, "<|end|>ing"),
            special(size + 5, "<tool>", {special: false}), special(size + 6, "<mask>", {lstrip: true, rstrip: true})
        ],
        normalizer: null, pre_tokenizer: pre, decoder: {type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true},
        post_processor: more.begin ? {type: "Sequence", processors: [{type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true}, begin]} : null,
        model: {type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false,
            byte_fallback: false, ignore_merges: more.whole ?? false,
            vocab: {...vocab, [unreachable[0]]: size, [unreachable[1]]: size + 1},
            merges: asLines ? merges.map((m) => m.join(" ")) : merges}
    });
}
byteLevel("llama3.json", split(patterns.llama3), {begin: true, whole: true});
byteLevel("gpt2.json", plain, {}, true);
byteLevel("qwen2.json", split(patterns.qwen2));
byteLevel("smollm.json", {type: "Sequence", pretokenizers: [{type: "Digits", individual_digits: true}, plain]});
byteLevel("prefix.json", {...plain, add_prefix_space: true});

// SentencePiece: characters of lines whose spaces are marks; merges do not cross words.
const marks = corpus.split("\n").flatMap((line) => ("\u2581" + line.replaceAll(" ", "\u2581")).match(/\u2581*[^\u2581]+/g) ?? []);
counts.clear();
for (const word of marks)
    counts.set(word, (counts.get(word) ?? 0) + 1);
const characters = [...new Set([...marks.join("")].filter((c) => c < "\u0530" || c === "\u2581"))].sort();
const pieceWords = [...counts].map(([word, times]) => ({tokens: [...word], times}));
const pieceMerges = train(pieceWords, 400).filter(([a, b]) => [...(a + b)].every((c) => characters.includes(c)));
const pieces = ["<unk>", "<s>", "</s>"];
const types = [2, 3, 3], scores = [0, 0, 0];
const add = (piece, type, score) => { pieces.push(piece); types.push(type); scores.push(score); };
for (let b = 0; b < 256; b++)
    add(`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`, 6, 0);
const unique = new Set();
for (const [a, b] of pieceMerges)
    if (!unique.has(a + b)) {
        unique.add(a + b);
        add(a + b, 1, -unique.size);
    }
characters.forEach((c, i) => add(c, 1, -unique.size - 1 - i));
write("sentencepiece.json", {pieces, types, scores});
const llama2 = (pre, normalizer, decoder) => ({
    version: "1.0", truncation: null, padding: null,
    added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
    normalizer, pre_tokenizer: pre, decoder,
    post_processor: {type: "TemplateProcessing",
        single: [{SpecialToken: {id: "<s>", type_id: 0}}, {Sequence: {id: "A", type_id: 0}}],
        pair: [{Sequence: {id: "A", type_id: 0}}, {Sequence: {id: "B", type_id: 1}}],
        special_tokens: {"<s>": {id: "<s>", ids: [1], tokens: ["<s>"]}}}
});
const fallback = {type: "Sequence", decoders: [
    {type: "Replace", pattern: {String: "\u2581"}, content: " "}, {type: "ByteFallback"}, {type: "Fuse"}, {type: "Strip", content: " ", start: 1, stop: 0}
]};
const bpe = {type: "BPE", dropout: null, unk_token: "<unk>", continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true,
    byte_fallback: true, ignore_merges: false, vocab: Object.fromEntries(pieces.map((p, id) => [p, id])), merges: pieceMerges};
write("llama2.json", {...llama2(null, {type: "Sequence", normalizers: [
    {type: "Prepend", prepend: "\u2581"}, {type: "Replace", pattern: {String: " "}, content: "\u2581"}
]}, fallback), model: bpe});
write("metaspace.json", {...llama2({type: "Metaspace", replacement: "\u2581", prepend_scheme: "first", split: false}, null, fallback), model: bpe});
// Unigram: the same pieces; the score is the logarithm of how often a piece is in the corpus.
const text = marks.join("");
const frequency = pieces.map((piece, id) => (types[id] === 1 ? Math.log((text.split(piece).length - 1 || 0.5) / text.length / piece.length) : 0));
write("unigram.json", {...llama2({type: "Metaspace", replacement: "\u2581", prepend_scheme: "always", split: false}, null, fallback),
    model: {type: "Unigram", unk_id: 0, byte_fallback: true, vocab: pieces.map((piece, id) => [piece, Math.round(frequency[id] * 1e4) / 1e4])}});
