// A C++ program made of the containers of the standard library: an inventory that is filled, asked, changed and dropped. Strings
// below and above the size that needs a block, maps of nodes, hash tables that grow, vectors that grow, shared pointers, and
// streams. Stands for the many programs whose malloc is operator new. The same rounds print the same numbers on every heap.
//
//     bench-containers [ROUNDS]
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace
{

struct Random {
    std::uint64_t state;
    std::size_t below(std::size_t limit)
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::size_t>(state >> 33) % limit;
    }
};

struct Item {
    std::string name;
    std::vector<int> prices;
    std::list<std::string> notes;
};

using Shelf = std::map<std::string, std::shared_ptr<Item>>;
using Index = std::unordered_map<std::size_t, std::weak_ptr<Item>>;

std::shared_ptr<Item> make_item(Random &random, std::size_t number)
{
    auto item = std::make_shared<Item>();
    item->name = "item " + std::to_string(number) + std::string(random.below(40), 'n');
    for (std::size_t i = random.below(30); i > 0; i--)
        item->prices.push_back(static_cast<int>(random.below(1000)));
    for (std::size_t i = random.below(4); i > 0; i--)
        item->notes.emplace_back(random.below(100), 'a');
    return item;
}

std::size_t fill_and_change(Random &random, Shelf &shelf, Index &index)
{
    std::deque<std::string> recent;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < 20000; i++) {
        std::size_t number = random.below(6000);
        auto item = make_item(random, number);
        index[number] = item;
        recent.push_back(item->name);
        if (recent.size() > 3000) {
            sum += shelf.erase(recent.front());
            recent.pop_front();
        }
        shelf[item->name] = std::move(item);
    }
    return sum;
}

std::size_t ask(const Shelf &shelf, const Index &index)
{
    std::ostringstream out;
    std::size_t sum = 0;
    for (const auto &[name, item] : shelf) {
        std::vector<int> sorted = item->prices;
        std::sort(sorted.begin(), sorted.end());
        out << name << '=' << (sorted.empty() ? 0 : sorted[sorted.size() / 2]) << ';';
        for (const std::string &note : item->notes)
            sum += note.size();
    }
    // The order of a hash table is the library's own, so it must not matter.
    for (const auto &entry : index)
        sum += entry.second.expired() ? 1 : entry.first;
    std::map<char, std::size_t> letters;
    for (char letter : out.str())
        letters[letter]++;
    for (const auto &[letter, count] : letters)
        sum = sum * 31 + static_cast<std::size_t>(letter) * count;
    return sum;
}

} // namespace

int main(int argc, char **argv)
{
    char *end = nullptr;
    unsigned long rounds = argc > 1 ? std::strtoul(argv[1], &end, 10) : 10;
    if (argc > 2 || rounds == 0 || (end != nullptr && *end != 0)) {
        std::cerr << "bench-containers: wanted is [ROUNDS], a number of 1 or more\n";
        return 2;
    }
    Random random{1};
    for (unsigned long i = 0; i < rounds; i++) {
        Shelf shelf;
        Index index;
        std::size_t changed = fill_and_change(random, shelf, index);
        std::cout << changed << ' ' << ask(shelf, index) << '\n';
    }
    return 0;
}
