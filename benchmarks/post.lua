-- What wrk sends. IDEMPOTENCY_KEYS=1 in the environment gives every request a key of its own, and TOKEN is its credential.
wrk.method = "POST"
wrk.body = '{"items":[{"productId":"p1","quantity":2}]}'
wrk.headers["Content-Type"] = "application/json"
if os.getenv("TOKEN") then
   wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
end

if os.getenv("IDEMPOTENCY_KEYS") then
   local started, number = os.time(), 0
   request = function()
      number = number + 1
      wrk.headers["Idempotency-Key"] = started .. "-" .. number
      return wrk.format()
   end
end
