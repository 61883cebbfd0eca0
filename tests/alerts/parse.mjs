// The rules as a YAML parser and a LogQL parser read them that nobody here wrote: prints the file's content as JSON, each rule with
// what the parser stumbled over (`errors`: the text from there on). Reads stdin.
import { readFileSync } from 'node:fs';
import { parser } from '@grafana/lezer-logql';
import { parse } from 'yaml';

const errorsIn = (query) => {
  const found = [];
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError) found.push(query.slice(node.from, node.from + 40));
    },
  });
  return found;
};

const file = parse(readFileSync(0, 'utf8'), { strict: true, uniqueKeys: true });
for (const group of file.groups) for (const rule of group.rules) rule.errors = errorsIn(rule.expr);
console.log(JSON.stringify(file));
