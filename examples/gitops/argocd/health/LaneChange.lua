-- Health of a LaneChange. Argo CD runs it without Lua's string library, and on whatever the object holds.
-- A proposal that waits is Healthy and not Suspended: `argocd app wait` would wait with it, for days, where a
-- LaneChange is part of an application.
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

local function command(verb)
  local meta = at(obj, "metadata")
  local words = "kubectl spillway " .. verb .. " " .. text(at(meta, "name"), "NAME")
  return words .. " -n " .. text(at(meta, "namespace"), "NAMESPACE")
end

local status = at(obj, "status")
local generation = at(at(obj, "metadata"), "generation")
local state = text(at(status, "state"), nil)
local proposal = text(at(at(obj, "spec"), "message"), "a change of lanes, classes or the plan")
if state == nil then
  return answer("Progressing", "the Spillway operator has not looked at the proposal yet")
end
if generation ~= nil and at(status, "observedGeneration") ~= generation then
  return answer("Progressing", "the Spillway operator has not looked at the proposal's latest change yet")
end
if type(at(status, "conditions")) == "table" then
  for _, condition in pairs(status.conditions) do
    if at(condition, "type") == "Stalled" and at(condition, "status") == "True" then
      return answer("Degraded", text(at(condition, "message"), "the proposal can't be carried out"))
    end
  end
end
if state == "Proposed" then
  return answer("Healthy", "Waits for a person: " .. proposal .. " (" .. command("approve") .. ")")
end
if state == "Approved" then
  return answer("Healthy", text(at(status, "message"), "Approved: waits for its patches, here or in Git: " .. proposal))
end
return answer("Healthy", text(at(status, "message"), state .. ": " .. proposal))
