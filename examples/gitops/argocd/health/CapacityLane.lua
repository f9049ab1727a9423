-- Health of a CapacityLane. Argo CD runs it without Lua's string library, and on whatever the object holds.
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

local ready = conditions["Ready"]
if ready == nil then
  return answer("Progressing", "the Spillway operator has not looked at the lane yet")
end
if generation ~= nil and at(status, "observedGeneration") ~= generation then
  return answer("Progressing", "the Spillway operator has not looked at the lane's latest change yet")
end
if at(ready, "status") == "False" then
  return answer("Degraded", text(at(ready, "message"), "the lane can't be used as written"))
end
if at(ready, "status") ~= "True" then
  return answer("Progressing", text(at(ready, "message"), "it is not known yet whether the lane can be used"))
end
return answer("Healthy", text(at(ready, "message"), ""))
