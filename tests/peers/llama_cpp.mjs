// Tokens of texts, and greedy tokens, by llama.cpp (npm's node-llama-cpp), as JSON on a file.
//
// node llama_cpp.mjs tokens MODEL IN OUT: IN is a list of texts, OUT of their tokens
// node llama_cpp.mjs greedy MODEL IN OUT: IN is {prompts: lists of tokens, count}, OUT of tokens
import fs from "fs";

const [task, modelPath, input, output] = process.argv.slice(2);
const {getLlama, LlamaLogLevel} = await import(`${process.env.NODE_LLAMA_CPP}/dist/index.js`);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const given = JSON.parse(fs.readFileSync(input));
const model = await llama.loadModel({modelPath, vocabOnly: task === "tokens"});
const found = [];
if (task === "tokens") {
    for (const text of given) found.push(Array.from(model.tokenize(text, true)));
} else {
    // Threads would wait for one another in busy loops, which takes long beside other tests.
    const context = await model.createContext({contextSize: 512, threads: 1});
    for (const prompt of given.prompts) {
        const sequence = context.getSequence();
        const tokens = [];
        for await (const token of sequence.evaluate(prompt, {temperature: 0})) {
            tokens.push(token);
            if (tokens.length >= given.count) break;
        }
        found.push(tokens);
        sequence.dispose();
    }
}
fs.writeFileSync(output, JSON.stringify(found));
process.exit(0);
