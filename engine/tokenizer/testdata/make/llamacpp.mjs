// Encodes texts.json with llama.cpp, by the GGUF files of a folder, into
// llamacpp.json there.
//   node llamacpp.mjs FOLDER
import fs from "node:fs";
import path from "node:path";
import {getLlama} from "node-llama-cpp";

const folder = process.argv[2];
const here = path.dirname(new URL(import.meta.url).pathname);
const texts = JSON.parse(fs.readFileSync(path.join(here, "texts.json")));
const llama = await getLlama({gpu: false, build: "never"});
const golden = {};
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".gguf")).sort()) {
    const model = await llama.loadModel({modelPath: path.join(folder, file), vocabOnly: true});
    golden[file.replace(".gguf", "")] = texts.map((text) => ({Text: text, IDs: [...model.tokenize(text, true)]}));
    await model.dispose();
}
fs.writeFileSync(path.join(folder, "llamacpp.json"), JSON.stringify(golden).replaceAll("{\"Text\"", "\n{\"Text\"") + "\n");
process.exit(0);
