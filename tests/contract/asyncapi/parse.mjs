// Prints what the standard's own parser finds in each file that is named: JSON, by file a list of severity (0 is an error,
// 1 a warning), path and message.
import { Parser, fromFile } from "@asyncapi/parser";

const found = {};
for (const file of process.argv.slice(2)) {
  const { diagnostics } = await fromFile(new Parser(), file).parse();
  found[file] = diagnostics.map(({ severity, path, message }) => ({ severity, path: path.join("."), message }));
}
console.log(JSON.stringify(found));
