-- Sends the request targets of a file one after the other, round and round.
-- wrk -s replay.lua URL -- FILE METHOD FIRST BYTES      (FIRST: index of the first target; BYTES: size of the body, 0 for none)

local heads, cursor, body = {}, 0, ""

function init(args)
  local method, bytes = args[2], tonumber(args[4])
  local tail = " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
  if bytes > 0 then
    tail = tail .. "Content-Length: " .. bytes .. "\r\n"
    body = string.rep("0123456789abcdef", math.ceil(bytes / 16)):sub(1, bytes)
  end
  for target in io.lines(args[1]) do
    heads[#heads + 1] = method .. " " .. target .. tail .. "\r\n"
  end
  cursor = tonumber(args[3]) % #heads
end

function request()
  cursor = cursor % #heads + 1
  return heads[cursor] .. body
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, ' ..
    '"bad_status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
