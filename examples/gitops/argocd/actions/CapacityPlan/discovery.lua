-- One of the two is offered, whichever would change something.
local paused = type(obj.spec) == "table" and obj.spec.paused == true
local actions = {}
actions["pause"] = {["disabled"] = paused, ["iconClass"] = "fa fa-fw fa-pause-circle"}
actions["resume"] = {["disabled"] = not paused, ["iconClass"] = "fa fa-fw fa-play-circle"}
return actions
