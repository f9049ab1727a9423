"""What no policy can undercut (the bound), and what foresight reaches (replay, best constant, best hourly schedule).

The bound, per seed, on the realised and scored requests. It relaxes: replicas are real numbers, latency is free, each
request goes where it is cheapest, and own work costs the least time that a replica can need for it. It keeps: start-up
and node release are paid, replicas of the lanes' minimum are paid, work is done between a request's arrival and the
moment when it would have been sent away or be finished at the slowest.

Why it is true. Take any run of any policy.
1. An own request i on lane l takes at least w(i, l) seconds of a replica's busy time (`bound.work`), all of it in a
   window W(i, l): no later than the longest wait of its priority (10 x the TTFT objective, or the deadline), plus the
   slowest possible service after admission.
2. Let p(l, t) >= 0 be prices of a second of a lane's replica time such that no life pays more than it costs: for every
   [s, e), the integral of p over it is at most the dollars of a replica that gets Ready at s and ends at e: start-up,
   life and release, where they are billed (`grid.affordable` checks every pair of edges; between edges the difference
   is linear). Then a lane's GPU dollars are at least the integral of p over its replicas' Ready time, and that at
   least over their busy time: at least the sum over own requests of w(i, l) * min of p over W(i, l).
   Replicas that the lane's minimum forces are alive all along, and what they cost above the integral of p comes on top.
3. A hosted request costs at least its price at the cheapest of its lanes.
4. So cost >= sum over requests of min(hosted price, min over lanes of w * min p), whatever was chosen for each.
Any such prices will do; `bound.prices` finds good ones as duals of a linear program. Start-up times are random: the
bound pays one that only a replica in a thousand undercuts. Table truths with noise: true in the mean (`bound.work`).

"At any attainment" needs one exception: who may leave requests unserved and unbilled pays nothing for them. That is
possible where no hosted lane may take a class, or where hosted lanes have limits or outages. Of the requests that it
can happen to, the bound leaves out the dearest, as many as the class's target permits (by requests or by tokens,
whichever binds); there it is true for policies that hold the objective. A lane's maximum is not used: draining replicas
come on top of it.
"""

from spillway.simulate.bound.hindsight import cron_best, static_best
from spillway.simulate.bound.lower import Bound, cost_bound
from spillway.simulate.bound.replay import clairvoyant_replay

__all__ = ["Bound", "clairvoyant_replay", "cost_bound", "cron_best", "static_best"]
