/** What the upload page looks like. */
export const pageStyle = `
:root { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif; accent-color: #0b5cad }
body { max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem }
h1 { font-size: 1.4rem }
label { display: block; margin: 1.2rem 0; font-weight: 500 }
input, button { display: block; box-sizing: border-box; width: 100%; min-height: 3rem; margin-top: .4rem; padding: .7rem; border: 1px solid #8888; border-radius: .5rem; font: inherit }
input[type=file] { padding: 1.4rem .7rem; border-style: dashed }
button { border: 0; background: #0b5cad; color: #fff; font-weight: 600; cursor: pointer }
button:disabled { opacity: .5; cursor: default }
:focus-visible { outline: 3px solid #0b5cad88; outline-offset: 2px }
ul { padding: 0; list-style: none }
li { margin: .8rem 0; overflow-wrap: anywhere }
progress { display: block; width: 100% }
output { font-size: .9rem; opacity: .8 }
`

/**
 * What the upload page does: one POST for each file, as any other sender makes it. The token stays in the page: it is typed, or
 * comes in the fragment of the URL, which no browser sends, and which is taken out of the address at once.
 */
export const pageScript = `
'use strict'
const form = document.querySelector('form')
const [token, files, list] = ['#token', '#files', 'ul'].map((each) => document.querySelector(each))
const limit = Number(form.dataset.limit)
if (location.hash.length > 1) {
  try {
    token.value = decodeURIComponent(location.hash.slice(1))
  } catch {
    token.value = location.hash.slice(1)
  }
  history.replaceState(null, '', location.pathname)
}
const send = (file, item, bar, said) =>
  new Promise((resolve) => {
    const request = new XMLHttpRequest()
    request.open('POST', location.pathname)
    if (token.value.trim() !== '') request.setRequestHeader('Authorization', 'Bearer ' + token.value.trim())
    if (file.type !== '') request.setRequestHeader('Content-Type', file.type)
    const name = encodeURIComponent(file.name).replace(/['()*]/g, (mark) => '%' + mark.charCodeAt(0).toString(16))
    request.setRequestHeader('Content-Disposition', "attachment; filename*=UTF-8''" + name)
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total === 0 ? 1 : loaded / total
    }
    request.onloadend = () => {
      const isThere = request.status === 202
      bar.value = isThere ? 1 : 0
      said.textContent = isThere ? 'arrived' : request.responseText || 'It did not get through. Try again.'
      resolve(isThere)
    }
    request.send(file)
  })
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  const button = form.querySelector('button')
  button.disabled = true
  list.replaceChildren()
  const chosen = [...files.files].map((file) => {
    const [item, bar, said] = ['li', 'progress', 'output'].map((name) => document.createElement(name))
    bar.value = 0
    item.append(file.name, bar, said)
    list.append(item)
    return [file, item, bar, said]
  })
  let all = true
  for (const [file, item, bar, said] of chosen) {
    if (file.size > limit) {
      said.textContent = 'too large'
      all = false
    } else if (!(await send(file, item, bar, said))) all = false
  }
  if (all) files.value = ''
  button.disabled = false
})
`
