"""The fleet simulator: requests, replicas, gateway and hosted lanes, iteration by iteration, in compiled code.

Rules that the format of backtests leaves open, as they are here:

- Engine: exactly `spillway.simulate.replica`. A step table replaces the formula with `b` sequences in the iteration
  (prompts included) and a mean context of held tokens / b; prompt tokens below its first point go linearly to (0, 0).
- A request first meets its class's weight, then the Ready replica with the fewest in flight under its lane's cap
  (or of the lane that the class's split draws, if one is Ready there). No room: held if the class has a hold, else
  hosted. A replica with as many waiting as the queue limit answers 503: hosted at once. Classes without a hosted
  lane are held instead, until their patience ends.
- The end of a hold is fixed when it begins. Held requests go by class priority, then by arrival, the moment a
  completion, a Ready replica, an admission (queue limit) or an action makes room.
- Patience counts from the arrival. In an engine the first of each priority is checked at the end of iterations.
- A request too long for the KV cache of every lane of its class goes hosted (HOSTED_NO_REPLICA) or is rejected.
- Hosted: the class's first lane under its limits (fixed minutes; an attempt's tokens are input + output). An error
  costs that attempt's time to first token, then the same choice once more. 429 on all lanes fails at once.
- Scaling: creation at the tick or at the end of a stock-out; draining replicas keep their GPUs of a pool, and what
  the pool has no room for is created at the first tick at which it has. Draws are by (seed, lane, ordinal).
- Events of one moment: ends of iterations, arrivals, ends of holds and retries, then iterations begin. A tick and a
  scrape see everything up to and including their moment; the scrape comes first.
- After the end of the span replicas still get Ready and held requests still go out; what nothing can ever serve goes
  hosted (HOSTED_NO_REPLICA) or is rejected.
"""

from spillway.simulate.fleet.run import simulate

__all__ = ["simulate"]
