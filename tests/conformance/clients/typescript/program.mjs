// Checks the types of the site's modules, as `tsc -p jsconfig.json` does, and tells what is wrong in
// files of our own: what is vendored is not ours to type.
import path from "node:path";
import { env } from "node:process";
import ts from "typescript";

const root = env.REPOSITORY;
const { config } = ts.readConfigFile(path.join(root, "jsconfig.json"), ts.sys.readFile);
const parsed = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(parsed.fileNames, parsed.options);
const wrong = ts
  .getPreEmitDiagnostics(program)
  .filter(({ file }) => !file?.fileName.includes("/vendor/"))
  .map(({ file, start, messageText }) => {
    const { line } = file ? file.getLineAndCharacterOfPosition(start) : { line: 0 };
    const text = ts.flattenDiagnosticMessageText(messageText, " ");
    return `${path.relative(root, file?.fileName ?? "")}:${line + 1} ${text}`;
  });
console.log(JSON.stringify({ files: parsed.fileNames.length, wrong }));
