-- Health of a CapacityPlan. Argo CD runs it without Lua's string library, and on whatever the object holds.
local function at(node, key)
  if type(node) == "table" then
    return node[key]
  end
  return nil
end

local function text(value, otherwise)
  if type(value) == "string" and value ~= "" then
    return value
  end
  return otherwise
end

local function answer(status, message)
  return {status = status, message = message}
end

local status = at(obj, "status")
local generation = at(at(obj, "metadata"), "generation")
local conditions = {}
if type(at(status, "conditions")) == "table" then
  for _, condition in pairs(status.conditions) do
    local kind = text(at(condition, "type"), nil)
    if kind ~= nil then
      conditions[kind] = condition
    end
  end
end

local function is(kind, value)
  return at(conditions[kind], "status") == value
end

local function says(kind, otherwise)
  return text(at(conditions[kind], "message"), otherwise)
end

if conditions["Ready"] == nil then
  return answer("Progressing", "the Spillway operator has not looked at the plan yet")
end
if generation ~= nil and at(status, "observedGeneration") ~= generation then
  return answer("Progressing", "the Spillway operator has not looked at the plan's latest change yet")
end
if is("Stalled", "True") then
  return answer("Degraded", says("Stalled", "the plan can't be carried out as written"))
end
if is("Ready", "False") then
  return answer("Degraded", says("Ready", "the plan can't be carried out as written"))
end
if not is("Ready", "True") then
  return answer("Progressing", says("Ready", "it is not known yet whether the plan can be carried out"))
end
if at(at(obj, "spec"), "paused") == true then
  return answer("Suspended", says("Ready", "spec.paused is true: nothing is changed until it is false"))
end
if at(conditions["Ready"], "reason") == "EmergencyStop" then
  return answer("Suspended", says("Ready", "the emergency stop is on: nothing is changed"))
end
if is("Degraded", "True") then
  return answer("Degraded", says("Degraded", "not everything that the plan needs is there"))
end
-- What waits for a person is no fault: the plan does all that it may.
if is("ApprovalRequired", "True") then
  return answer("Healthy", "Waits for approval: " .. says("ApprovalRequired", "see its LaneChanges"))
end
if is("RecommendationAvailable", "True") then
  return answer("Healthy", "Recommended: " .. says("RecommendationAvailable", "see status.lanes"))
end
return answer("Healthy", text(at(at(status, "decision"), "message"), says("Ready", "")))
