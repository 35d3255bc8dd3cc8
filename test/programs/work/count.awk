# Counts prefixes, sums groups, builds and splits long strings.
{
    count[substr($2, 1, 2)]++
    sum[substr($2, 3, 1)] += $1
    if (NR % 50 == 0) long = long substr($2, 1, 5) ","
}
END {
    for (key in count) total += count[key] * length(key)
    print length(count), total
    for (i = 0; i < 16; i++) { key = sprintf("%x", i); print key, sum[key] }
    n = split(long, parts, ",")
    gsub(/[0-4]/, "-", long)
    print n, parts[1], parts[n - 1], length(long), substr(long, 1, 60)
}
