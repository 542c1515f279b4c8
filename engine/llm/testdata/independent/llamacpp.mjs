// Runs every case of a folder with llama.cpp, greedily, and writes
// NAME.llamacpp.json: the tokens, and the largest logits of every step.
//   node llamacpp.mjs FOLDER
import fs from "node:fs";
import path from "node:path";
import {getLlama} from "node-llama-cpp";

const folder = process.argv[2];
const llama = await getLlama({gpu: false, build: "never"});
for (const file of fs.readdirSync(folder).filter((name) => /^[^.]+\.json$/.test(name)).sort()) {
    const test = JSON.parse(fs.readFileSync(path.join(folder, file)));
    const model = await llama.loadModel({modelPath: path.join(folder, test.Name + ".gguf"), useMmap: false});
    const answers = [];
    for (const prompt of test.Prompts) {
        const context = await model.createContext({
            contextSize: 512, sequences: 1, threads: 1, flashAttention: false,
            experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
        });
        const sequence = context.getSequence();
        const want = {generateNext: {token: true, logits: {filter: {tokens: [], includeTop: 3}}, options: {temperature: 0}}};
        const tokens = [], top = [];
        let input = [...prompt.slice(0, -1), [prompt.at(-1), want]];
        while (tokens.length < test.Generate) {
            const {next} = (await sequence.controlledEvaluate(input)).at(-1);
            tokens.push(next.token);
            top.push([...next.logits].map(([token, logit]) => ({token, logit})));
            input = [[next.token, want]];
        }
        answers.push({tokens, top});
        await context.dispose();
    }
    fs.writeFileSync(path.join(folder, test.Name + ".llamacpp.json"), JSON.stringify({release: llama.llamaCppRelease.release, answers}));
    await model.dispose();
    console.log(test.Name, answers.map((a) => a.tokens.slice(0, 8).join(" ")).join(" | "));
}
process.exit(0);
