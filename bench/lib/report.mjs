// Turns the results of a run into Markdown.
const generatorLimit = 0.9
const foreignLimit = 0.25
const nothing = '–'

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}

const figure = (value) =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(value >= 10 ? 3 : 2)))

/**
 * All that was found out about one row at one peer.
 * @param {object} results @param {import('../workloads/index.mjs').Row} row @param {string} peer
 */
function gather({ rounds, conditions }, row, peer) {
  const of = (name) => rounds.filter((each) => each.peer === name && each.outcomes[row.name] !== undefined)
  const outcomes = of(peer).map(({ round, outcomes }) => ({ round, ...outcomes[row.name] }))
  const good = outcomes.filter(({ value }) => value !== undefined)
  const ratios = good.flatMap(({ round, value }) => {
    const base = of(conditions.base).find((each) => each.round === round)?.outcomes[row.name]
    if (base?.value === undefined || base.cpu?.generator > generatorLimit) return []
    return [row.lower ? base.value / value : value / base.value]
  })
  return {
    outcomes,
    values: good.map(({ value }) => value),
    ratio: ratios.length > 0 ? median(ratios) : undefined,
    wrong: outcomes.find(({ wrong }) => wrong !== undefined)?.wrong,
    refused: outcomes.find(({ refused }) => refused !== undefined)?.refused,
    limited: good.some(({ cpu }) => cpu?.generator > generatorLimit),
    notes: [...new Set(good.flatMap(({ note }) => note ?? []))],
  }
}

function cell(found) {
  if (found.wrong !== undefined) return `**wrong**: ${found.wrong}`
  if (found.refused !== undefined) return `refused (${found.refused})`
  if (found.values.length === 0) return nothing
  const range = `[${figure(Math.min(...found.values))}–${figure(Math.max(...found.values))}]`
  const ratio = found.ratio === undefined ? '' : ` ×${found.ratio.toFixed(2)}`
  const notes = found.notes.length > 0 ? ` (${found.notes.join('; ')})` : ''
  return `${found.limited ? '≥ ' : ''}${figure(median(found.values))} ${range}${ratio}${notes}`
}

function table(head, lines) {
  const line = (cells) => `| ${cells.map((each) => String(each).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...lines.map(line)].join('\n')
}

/** One goal: what is asked, what was reached, whether that is enough. */
function judge(goal, found) {
  if (found.outcomes.length === 0) return undefined
  const failed = found.wrong !== undefined || found.refused !== undefined
  if (goal.unbroken) {
    const reached = found.notes.join('; ') || 'none broken'
    return { asked: 'none broken', reached: failed ? cell(found) : reached, met: !failed && found.notes.length === 0 }
  }
  const value = found.values.length > 0 ? median(found.values) : undefined
  if (goal.ratio !== undefined) {
    const { ratio } = found
    if (ratio === undefined && !failed) return undefined
    return {
      asked: `≥ ×${goal.ratio}`,
      reached: failed ? cell(found) : `×${ratio.toFixed(2)}`,
      met: !failed && ratio >= goal.ratio,
    }
  }
  const atMost = goal.atMost !== undefined
  const enough = !failed && value !== undefined && (atMost ? value <= goal.atMost : value >= goal.atLeast)
  const reached = failed || value === undefined ? cell(found) : figure(value)
  return { asked: atMost ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`, reached, met: enough }
}

function goalTable(results, rows) {
  const lines = rows.flatMap((row) =>
    (row.goals ?? []).flatMap((goal) => {
      const peer = goal.peer ?? 'postern'
      const verdict = judge(goal, gather(results, row, peer))
      if (verdict === undefined) return []
      const { asked, reached, met } = verdict
      return [[`${row.title}${goal.peer ? ` (${peer})` : ''}`, asked, reached, met ? 'met' : '**missed**']]
    }),
  )
  return lines.length > 0 ? ['## Goals', table(['workload', 'goal', 'reached', ''], lines)] : []
}

function flags({ conditions, rounds }) {
  const found = [...conditions.flags]
  for (const [peer, why] of Object.entries(conditions.leftOut)) found.push(`${peer} left out: ${why}`)
  for (const { peer, round, failed } of rounds)
    if (failed !== undefined) found.push(`${peer}, round ${round}: ${failed}`)
  const disturbed = rounds.flatMap(({ peer, round, outcomes }) =>
    Object.entries(outcomes)
      .filter(([, { cpu }]) => cpu?.foreign > foreignLimit)
      .map(([row, { cpu }]) => `${row} of ${peer} in round ${round} (${cpu.foreign})`),
  )
  if (disturbed.length > 0)
    found.push(
      `other work took over ${foreignLimit} of a core in ${disturbed.length} measurements: ${disturbed.slice(0, 12).join(', ')}${disturbed.length > 12 ? ' …' : ''}`,
    )
  return found
}

const cpuCell = (found) => {
  const shares = found.outcomes.flatMap(({ cpu }) => cpu ?? [])
  if (shares.length === 0) return nothing
  const of = (which) => median(shares.map((share) => share[which])).toFixed(2)
  return `${of('server')} / ${of('generator')} / ${of('foreign')}`
}

function memoryCell(found) {
  const peaks = found.outcomes.flatMap(({ peakMegabytes }) => peakMegabytes ?? [])
  return peaks.length > 0 ? figure(median(peaks)) : nothing
}

/**
 * The report of a run.
 * @param {object} results as run.mjs writes them to results.json @param {readonly import('../workloads/index.mjs').Row[]} rows
 */
export function report(results, rows) {
  const { conditions } = results
  const measured = rows.filter(({ name }) => results.rounds.some(({ outcomes }) => outcomes[name] !== undefined))
  const peers = conditions.peers
  const per = (make) =>
    measured
      .map((row) => [row.title, ...peers.map((peer) => make(gather(results, row, peer)))])
      .filter(([, ...cells]) => cells.some((each) => each !== nothing))
  const figures = measured.map((row) => [
    `${row.title}, ${row.unit}${row.lower ? ' (less is better)' : ''}`,
    ...peers.map((peer) => cell(gather(results, row, peer))),
  ])
  const { machine } = conditions
  const flagged = flags(results)
  return `${[
    `${conditions.date.slice(0, 16).replace('T', ' ')} UTC · ${machine.cpu}, ${machine.memory} · ${machine.system} · Node ${machine.node}  `,
    `${Object.entries(conditions.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')} · ${conditions.rounds} rounds · ${conditions.cores}`,
    ...(flagged.length > 0 ? ['', '**Flags**', '', ...flagged.map((flag) => `- ${flag}`)] : []),
    ...goalTable(results, measured).flatMap((part) => ['', part]),
    '',
    '## Figures',
    '',
    `Median [least–most] of the rounds, and the median of the ratios to ${conditions.base} in the same round; above ×1 is better than it, for times too.`,
    '',
    table(['workload', ...peers], figures),
    '',
    '## CPU: server / generator / everything else, in cores',
    '',
    table(['workload', ...peers], per(cpuCell)),
    '',
    '## Peak resident memory during each, MB',
    '',
    table(['workload', ...peers], per(memoryCell)),
  ].join('\n')}\n`
}
