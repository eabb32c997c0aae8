import { z } from 'zod'
import { commonSettings } from './identity/entry.js'
import { identityKinds } from './identity/kinds.js'
import { configSchema, variableOf } from './schema.js'

const opening = `# Configuration

Postern needs none: \`postern serve DIR\` works without. What follows can be set in three places; later ones win, key by key:

1. \`postern.yaml\`: the file named by \`--config\` or \`POSTERN_CONFIG\`, else \`./postern.yaml\` where there is one. Relative paths in it
   start at its own directory.
2. The environment: \`POSTERN_\` and the key in capitals, \`publicOrigins\` as \`POSTERN_PUBLIC_ORIGINS\`. The value is read as YAML:
   \`POSTERN_LISTEN='["127.0.0.1:8080", "unix:/run/postern.sock"]'\`.
3. The command line: \`postern serve [DIR] --listen … --state … --durability … --tls …\`.

\`postern check\` says what is wrong, by key and line. A key that is not listed here is an error.

\`POSTERN_ADMIN_PASSWORD\` is no key: it is the password of the user \`admin\` that the first start makes.
`

/** The text of `docs/config.md`: every key with its type, default and an example, out of the schema. */
export function configDocs(): string {
  const defaults: Readonly<Record<string, unknown>> = configSchema.parse({})
  const sections = Object.entries(configSchema.shape).map(([key, schema]) => {
    const meta: Readonly<Record<string, unknown>> = schema.meta() ?? {}
    const standard = typeof meta.default === 'string' ? meta.default : code(JSON.stringify(defaults[key]))
    return [
      `## ${key}`,
      '',
      String(meta.description),
      '',
      `- Type: ${String(meta.type)}`,
      `- Default: ${standard}`,
      `- Environment: ${code(variableOf(key))}`,
      '',
      '```yaml',
      `${key}: ${String(meta.example)}`,
      '```',
      '',
    ].join('\n')
  })
  return [opening, ...sections, ...identitySections()].join('\n')
}

/** The kinds of source that `identity` can list, with the keys of each. */
function identitySections(): readonly string[] {
  const kinds = Array.from(identityKinds, ([name, { description, example, schema }]) =>
    [`### ${name}`, '', description, '', ...keyLines(schema), '```yaml', `identity: [${example}]`, '```', ''].join(
      '\n',
    ),
  )
  return [
    ['## Identity sources', '', 'Every source but the bare `catalog` can be told, beside its own keys:', ''].join('\n'),
    keyLines(z.object(commonSettings)).join('\n'),
    ...kinds,
  ]
}

function keyLines(schema: z.ZodType): readonly string[] {
  const group = schema instanceof z.ZodArray ? schema.element : schema
  if (!(group instanceof z.ZodObject)) return []
  const lines = Object.entries<z.ZodType>(group.shape).map(
    ([key, value]) => `- \`${key}\`: ${value.meta()?.description}`,
  )
  return lines.length === 0 ? [] : [...lines, '']
}

function code(text: string): string {
  return `\`${text}\``
}
