-- Asks Postern whether a request may pass; see forward-auth.conf beside this file.
local http = require "socket.http"

-- Seconds, for each step of the question.
http.TIMEOUT = 10

local address = "http://127.0.0.1:8080/-/auth?prefix=/app"

-- Of the client, as far as Postern reads it.
local passed_on = { "Authorization", "X-Api-Key", "X-Api-Secret", "Destination", "User-Agent" }

function ask(r)
  local headers = {
    ["X-Original-URI"] = r.unparsed_uri,
    ["X-Original-Method"] = r.method,
    ["X-Forwarded-For"] = r.useragent_ip,
    ["X-Forwarded-Proto"] = r.is_https and "https" or "http",
    ["X-Forwarded-Host"] = r.headers_in["Host"],
  }
  for _, name in ipairs(passed_on) do
    headers[name] = r.headers_in[name]
  end
  local done, status, answer = http.request { url = address, method = "GET", headers = headers, redirect = false }
  if not done then
    r:err("Postern does not answer: " .. tostring(status))
    return 503
  end
  if status == 200 then
    r.headers_in["Remote-User"] = answer["remote-user"]
    r.headers_in["Remote-Groups"] = answer["remote-groups"]
    return apache2.OK
  end
  r.err_headers_out["WWW-Authenticate"] = answer["www-authenticate"]
  r.err_headers_out["Retry-After"] = answer["retry-after"]
  if status == 401 or status == 403 or status == 429 then
    return status
  end
  return 503
end
