if type(obj.spec) ~= "table" then
  obj.spec = {}
end
obj.spec.paused = true
return obj
