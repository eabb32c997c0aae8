// Writes docs/config.md out of the schema; run after a build.
import { writeFileSync } from 'node:fs'
import { configDocs } from '../dist/config/config-docs.js'

writeFileSync(new URL('../docs/config.md', import.meta.url), configDocs())
