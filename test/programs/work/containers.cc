// The containers of the standard library, in several threads, with aligned and large elements and with exceptions.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

struct alignas(64) Line {
    std::array<unsigned char, 100> bytes{};
};

struct Random {
    unsigned long state;
    unsigned operator()()
    {
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        return static_cast<unsigned>(state >> 33);
    }
};

static unsigned long maps(unsigned seed, unsigned rounds)
{
    Random random{seed};
    std::map<std::string, std::vector<unsigned>> ordered;
    std::unordered_map<unsigned, std::string> hashed;
    for (unsigned i = 0; i < rounds; i++) {
        unsigned key = random() % 3000;
        std::string name = "key " + std::to_string(key) + std::string(key % 90, 'x');
        if (random() % 3 == 0)
            ordered.erase(name), hashed.erase(key);
        else
            ordered[name].push_back(i), hashed[key] = name;
    }
    unsigned long sum = hashed.size();
    for (auto &entry : ordered)
        sum = sum * 31 + entry.first.size() + std::accumulate(entry.second.begin(), entry.second.end(), 0UL);
    return sum;
}

static unsigned long sequences(unsigned seed, unsigned rounds)
{
    Random random{seed};
    std::list<std::string> chain;
    std::deque<std::unique_ptr<Line>> lines;
    std::vector<std::vector<int>> table;
    for (unsigned i = 0; i < rounds; i++) {
        chain.emplace_back(random() % 60, static_cast<char>('a' + i % 26));
        if (chain.size() > 500)
            chain.remove_if([&](const std::string &text) { return text.size() % 3 == i % 3; });
        lines.push_back(std::make_unique<Line>());
        if (reinterpret_cast<uintptr_t>(lines.back().get()) % alignof(Line) != 0)
            throw std::runtime_error("a line is not aligned");
        lines.back()->bytes[i % 100] = static_cast<unsigned char>(i);
        if (lines.size() > 300)
            lines.pop_front();
        table.emplace_back(random() % 400, static_cast<int>(i));
        if (table.size() > 200)
            table.erase(table.begin(), table.begin() + 100);
    }
    unsigned long sum = 0;
    for (auto &text : chain)
        sum += text.size();
    for (auto &line : lines)
        sum += std::accumulate(line->bytes.begin(), line->bytes.end(), 0UL);
    for (auto &row : table)
        sum += row.size();
    return sum;
}

static unsigned long texts(unsigned rounds)
{
    std::ostringstream out;
    for (unsigned i = 0; i < rounds; i++)
        out << "item" << i << "=" << i * 7 % 13 << ";";
    std::string text = out.str();
    std::regex pattern("item([0-9]+)=([0-9]+);");
    unsigned long sum = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
        sum += std::stoul((*it)[1]) * std::stoul((*it)[2]);
    return sum;
}

static unsigned long exceptions(unsigned rounds)
{
    unsigned long caught = 0;
    for (unsigned i = 0; i < rounds; i++) {
        try {
            std::vector<std::shared_ptr<std::string>> held(i % 50, std::make_shared<std::string>(i % 300, 'e'));
            if (i % 2 == 0)
                throw std::runtime_error(std::string(i % 200, 'r'));
            // Volatile, so that the compiler does not see that this can only fail.
            volatile size_t much = static_cast<size_t>(-1) / 4;
            delete[] new char[much];
        } catch (const std::bad_alloc &) {
            caught += 1;
        } catch (const std::exception &error) {
            caught += std::string(error.what()).size();
        }
    }
    return caught;
}

static unsigned long pools(unsigned rounds)
{
    std::pmr::unsynchronized_pool_resource pool;
    std::pmr::vector<std::pmr::string> names(&pool);
    std::variant<int, std::string, std::vector<double>> either;
    unsigned long sum = 0;
    for (unsigned i = 0; i < rounds; i++) {
        names.emplace_back(i % 100, 'p');
        if (i % 3 == 0)
            either = std::string(i % 70, 'v');
        else if (i % 3 == 1)
            either = std::vector<double>(i % 90, 1.5);
        sum += either.index() + names.back().size();
    }
    return sum;
}

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1;
    std::vector<std::future<unsigned long>> answers;
    for (unsigned seed = 1; seed <= 4; seed++) {
        answers.push_back(std::async(std::launch::async, maps, seed, 20000 * scale));
        answers.push_back(std::async(std::launch::async, sequences, seed, 6000 * scale));
    }
    for (auto &answer : answers)
        std::printf("%lu\n", answer.get());
    std::printf("%lu %lu %lu\n", texts(2000 * scale), exceptions(500 * scale), pools(4000 * scale));
    // Made here, dropped by other threads.
    for (unsigned round = 0; round < 20 * scale; round++) {
        auto many = std::make_shared<std::vector<std::string>>(200, std::string(round * 13 % 500, 's'));
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; i++)
            threads.emplace_back([held = many]() mutable { held.reset(); });
        many.reset();
        for (auto &thread : threads)
            thread.join();
    }
    std::printf("done\n");
    return 0;
}
