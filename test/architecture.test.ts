import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const source = join(root, 'src')

/** Left to right: a file imports only from its own folder or from one further right. */
const order: readonly (readonly string[])[] = [
  ['index', 'lambda', 'lambda-drop'],
  ['cli'],
  ['config'],
  ['privsep', 'jobs'],
  ['transport'],
  ['gateway'],
  ['protocol'],
  ['auth'],
  ['mail'],
  ['catalog'],
  ['store'],
  ['core'],
]

interface Import {
  /** Relative to `src`, or a package. */
  readonly from: string
  readonly names: readonly string[]
  readonly typeOnly: boolean
}

interface File {
  /** Relative to `src`. */
  readonly path: string
  readonly folder: string
  readonly text: string
  readonly tree: ts.SourceFile
  readonly imports: readonly Import[]
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map(readSource)
const code = files.filter(({ path }) => !path.endsWith('.test.ts'))

describe('the direction of imports', () => {
  it('is known for every folder', () => {
    const known = new Set(order.flat())
    expect([...new Set(code.map(({ folder }) => folder))].filter((folder) => !known.has(folder))).toEqual([])
  })

  it('is from left to right only', () => {
    const wrong = code.flatMap(({ path, folder, imports }) =>
      imports
        .filter(({ from }) => !isPackage(from) && folderOf(from) !== folder && rank(folderOf(from)) <= rank(folder))
        .map(({ from }) => `${path} imports ${from}`),
    )
    expect(wrong).toEqual([])
  })

  it('has no circle among files', () => {
    const byPath = new Map(code.map((file) => [file.path, file]))
    const done = new Set<string>()
    const circles: string[] = []
    const visit = (path: string, above: readonly string[]): void => {
      if (above.includes(path)) circles.push([...above.slice(above.indexOf(path)), path].join(' → '))
      if (above.includes(path) || done.has(path)) return
      const followed = byPath.get(path)?.imports.filter(({ from, typeOnly }) => !typeOnly && !isPackage(from)) ?? []
      for (const { from } of followed) visit(from, [...above, path])
      done.add(path)
    }
    for (const { path } of code) visit(path, [])
    expect(circles).toEqual([])
  })

  it('never leaves src, and names files as they are built', () => {
    const wrong = code.flatMap(({ path, tree }) =>
      specifiersOf(tree)
        .filter(({ text }) => text.startsWith('.') && (!text.endsWith('.js') || relative(source, resolve(source, dirname(path), text)).startsWith('..')))
        .map(({ text }) => `${path} imports ${text}`),
    ) // prettier-ignore
    expect(wrong).toEqual([])
  })

  it('keeps the vocabulary free of everything', () => {
    const wrong = code
      .filter(({ folder }) => folder === 'core')
      .flatMap(({ path, imports }) => imports.filter(({ from }) => !isPackage(from) && folderOf(from) !== 'core').map(({ from }) => `${path}: ${from}`)) // prettier-ignore
    expect(wrong).toEqual([])
  })
})

describe('the composition root', () => {
  /** What makes a store, a catalog, a directory or a source of stores; whatever needs one of these is handed it. */
  const makesOne = /^(?:open|create)?[A-Z]?\w*(?:Store|Catalog|Directory)$|^(?:open|create|catalog)[A-Z]\w*$/
  const held = ['store', 'catalog', 'auth']
  /** The client of AWS is none of these: it carries requests, for whoever has them. */
  const carriers = 'store/aws/'

  /** The process of a Unix user is a program of its own, which opens that user's stores and nothing else. */
  const ownProgram = 'privsep/worker/mounts.ts'

  it('alone names what is behind the interfaces', () => {
    const wrong = code
      .filter(({ folder, path }) => folder !== 'config' && folder !== 'index' && path !== ownProgram)
      .flatMap(
        ({ path, folder, imports }) =>
        imports
          .filter(({ from, typeOnly }) => !typeOnly && !isPackage(from) && held.includes(folderOf(from)) && folderOf(from) !== folder && !from.startsWith(carriers)) // prettier-ignore
          .flatMap(({ from, names }) => names.filter((name) => makesOne.test(name)).map((name) => `${path}: ${name} of ${from}`)), // prettier-ignore
      )
    expect(wrong).toEqual([])
  })
})

describe('every file', () => {
  it('is at most 400 lines long, or a decision says why not', () => {
    const decisions = readdirSync(join(root, 'docs/decisions'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.md'))
      .map((path) => readFileSync(join(root, 'docs/decisions', path), 'utf8'))
      .join('\n')
    const long = code.filter(({ text }) => text.split('\n').length - 1 > 400).map(({ path }) => `src/${path}`)
    expect(long.filter((path) => !decisions.includes(path))).toEqual([])
  })

  it('is named in kebab-case, for what it holds', () => {
    const vague = /(?:^|\/)(?:utils?|helpers?|common|base|manager|types)(?:\.|\/)/
    expect(files.map(({ path }) => path).filter((path) => !/^[a-z0-9/.-]+$/.test(path) || vague.test(path))).toEqual([])
  })

  it('has no default export', () => {
    const wrong = code.filter(({ tree }) =>
      tree.statements.some(
        (statement) =>
          ts.isExportAssignment(statement) ||
          (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) === true), // prettier-ignore
      ),
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('leaves the environment to the configuration', () => {
    const wrong = code.filter(
      ({ folder, tree }) =>
        folder !== 'config' &&
        contains(tree, (node) => ts.isPropertyAccessExpression(node) && node.getText(tree) === 'process.env'),
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('inherits from nothing but Error, and only Failure does', () => {
    const wrong = code.filter(({ path, tree }) =>
      contains(
        tree,
        (node) =>
          ts.isClassLike(node) &&
          node.heritageClauses?.some(({ token }) => token === ts.SyntaxKind.ExtendsKeyword) === true &&
          !(path === 'core/failure.ts' && node.name?.text === 'Failure'),
      ),
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('throws nothing but failures on purpose; a transport alone may find a promise broken', () => {
    const wrong = code.filter(
      ({ folder, tree }) =>
        folder !== 'transport' &&
        contains(
          tree,
          (node) =>
            ts.isThrowStatement(node) &&
            ts.isNewExpression(node.expression) &&
            /^(?:\w*Error)$/.test(node.expression.expression.getText(tree)),
        ),
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })

  it('has neither any nor an assertion that something is there', () => {
    const wrong = code.filter(({ tree }) =>
      contains(tree, (node) => node.kind === ts.SyntaxKind.AnyKeyword || ts.isNonNullExpression(node)),
    )
    expect(wrong.map(({ path }) => path)).toEqual([])
  })
})

function readSource(path: string): File {
  const text = readFileSync(join(source, path), 'utf8')
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports = specifiersOf(tree).map(({ text: specifier, names, typeOnly }) => ({
    from: specifier.startsWith('.')
      ? relative(source, resolve(source, dirname(path), specifier)).replace(/\.js$/, '.ts')
      : specifier,
    names,
    typeOnly,
  }))
  return { path, folder: folderOf(path), text, tree, imports }
}

/** What is imported and re-exported, `import()` and `import type` included. */
function specifiersOf(tree: ts.SourceFile): readonly { text: string; names: readonly string[]; typeOnly: boolean }[] {
  const found: { text: string; names: readonly string[]; typeOnly: boolean }[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const { importClause } = node
      const bindings = importClause?.namedBindings
      const elements = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : []
      const values = elements.filter(({ isTypeOnly }) => !isTypeOnly)
      const typeOnly = importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword || (elements.length > 0 && values.length === 0) // prettier-ignore
      const names = values.map(({ name, propertyName }) => (propertyName ?? name).text)
      found.push({ text: node.moduleSpecifier.text, names, typeOnly })
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      const { exportClause } = node
      const elements = exportClause !== undefined && ts.isNamedExports(exportClause) ? exportClause.elements : []
      found.push({ text: node.moduleSpecifier.text, names: elements.map(({ name, propertyName }) => (propertyName ?? name).text), typeOnly: node.isTypeOnly })
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments
      if (specifier !== undefined && ts.isStringLiteral(specifier)) found.push({ text: specifier.text, names: [], typeOnly: false })
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
} // prettier-ignore

function contains(tree: ts.SourceFile, wanted: (node: ts.Node) => boolean): boolean {
  let found = false
  const visit = (node: ts.Node): void => {
    found ||= wanted(node)
    if (!found) ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

function isPackage(from: string): boolean {
  return !from.endsWith('.ts')
}

/** The first folder below `src`; a file that stands there alone counts as a folder of its name. */
function folderOf(path: string): string {
  return path.split('/')[0]!.replace(/\.ts$/, '')
}

function rank(folder: string): number {
  return order.findIndex((names) => names.includes(folder))
}
