#!/usr/bin/env node
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Postern needs Node 20.19 or newer; this is ${process.versions.node}.`)
  process.exit(1)
}

const program = new URL('../dist/program/main.js', import.meta.url)
const { main } = await import(program.href).catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || error.url !== program.href) throw error
  console.error('Postern is not built yet. Run: npm run build')
  process.exit(1)
})
process.exit(await main(process.argv.slice(2)))
