-- Tables that grow and go, strings that are built and cut, closures, sorting. The same scale prints the same on every heap.
local scale = tonumber(arg[1])
local seed = 1
local function draw(below)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return (seed >> 8) % below
end

local function tables(rounds)
    local live, total = {}, 0
    for i = 1, rounds do
        local key = draw(5000)
        if live[key] and draw(3) == 0 then
            total = total + #live[key]
            live[key] = nil
        else
            local list = {}
            for j = 1, draw(12) do list[j] = {value = i + j, name = "n" .. j} end
            live[key] = list
        end
    end
    return total
end

local function strings(rounds)
    local live, total = {}, 0
    for i = 1, 200 do live[i] = "" end
    for i = 1, rounds do
        local slot = draw(200) + 1
        live[slot] = (live[slot] .. string.rep(string.char(97 + i % 26), draw(100))):sub(-3000)
        if i % 50 == 0 then
            local text = table.concat(live, "|", 1, 20)
            total = total + #text:gsub("a+", "b") + select(2, text:gsub("[cd]", ""))
        end
    end
    return total
end

local function closures(rounds)
    local list, total = {}, 0
    for i = 1, rounds do
        local captured = {i}
        list[i % 1000 + 1] = function(x) return captured[1] + x end
    end
    for i, f in ipairs(list) do total = total + f(i) end
    return total
end

local function sorting(rounds)
    local list = {}
    for i = 1, rounds do list[i] = {key = draw(100000), text = tostring(i)} end
    table.sort(list, function(a, b) return a.key < b.key or a.key == b.key and a.text < b.text end)
    return list[1].text .. list[#list].text
end

print(tables(60000 * scale), strings(20000 * scale), closures(100000 * scale), sorting(20000 * scale))
