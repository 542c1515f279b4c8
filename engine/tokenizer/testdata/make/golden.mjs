// Encodes and decodes texts.json with Hugging Face's tokenizers (the Rust library),
// by the tokenizer.json files of a folder, into golden.json there.
//   node golden.mjs FOLDER
import {createRequire} from "node:module";
import fs from "node:fs";
import path from "node:path";
const {Tokenizer} = createRequire(import.meta.url)("tokenizers");

const folder = process.argv[2];
const here = path.dirname(new URL(import.meta.url).pathname);
const texts = JSON.parse(fs.readFileSync(path.join(here, "texts.json")));
const golden = {};
for (const name of ["llama3", "gpt2", "qwen2", "smollm", "prefix", "llama2", "metaspace", "unigram"]) {
    const tokenizer = Tokenizer.fromFile(path.join(folder, name + ".json"));
    golden[name] = [];
    for (const text of texts) {
        // The library takes this text for the byte token of the name, as SentencePiece itself does not.
        if (name === "unigram" && text === "<0x41>")
            continue;
        const ids = (await tokenizer.encode(text, null, {addSpecialTokens: true})).getIds();
        golden[name].push({Text: text, IDs: ids, Decoded: await tokenizer.decode(ids, true)});
    }
}
fs.writeFileSync(path.join(folder, "golden.json"), JSON.stringify(golden).replaceAll("{\"Text\"", "\n{\"Text\"") + "\n");
for (const [name, list] of Object.entries(golden))
    console.log(name, list.length, list.reduce((n, g) => n + g.IDs.length, 0));
