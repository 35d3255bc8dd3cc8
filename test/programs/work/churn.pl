# Hashes, arrays, strings, regular expressions, closures, sorting, pack, processes.
use strict;
use warnings;

my $scale = shift @ARGV;
my $seed  = 1;
sub draw { $seed = ($seed * 1103515245 + 12345) % 2147483648; return ($seed >> 8) % $_[0]; }

my %live;
for my $i (1 .. 40000 * $scale) {
    my $key = "key" . draw(5000);
    if (draw(3) == 0) { delete $live{$key}; }
    else              { push @{ $live{$key} }, "value $i" x draw(5); }
}
my $length = 0;
$length += length join ",", @{ $live{$_} } for sort keys %live;
print "hashes ", scalar(keys %live), " $length\n";

my $text = join " ", map { sprintf "%05d:%s", draw(100000), "word" x draw(4) } 1 .. 20000 * $scale;
my %count;
$count{$1}++ while $text =~ /(\d\d)\d:(\w*)/g;
( my $turned = $text ) =~ s/(\d+):(\w+)/$2=$1/g;
print "text ", scalar(keys %count), " ", length($turned), " ", unpack( "%32C*", $turned ), "\n";

my @sorted = sort { $a->[1] <=> $b->[1] || $a->[0] cmp $b->[0] } map { [ "n" . draw(10000), draw(100) ] } 1 .. 15000 * $scale;
print "sort ", join( " ", map { "@$_" } @sorted[ 0 .. 4 ] ), "\n";

my @closures = map { my $n = $_; my $s = "x" x ( $n % 100 ); sub { return length($s) + $n * $_[0] } } 1 .. 5000;
my $sum = 0;
for my $round ( 1 .. 5 * $scale ) { $sum += $_->($round) for @closures; }
print "closures $sum\n";

my $grown = "";
$grown .= chr( 65 + $_ % 26 ) x draw(300) for 1 .. 10000 * $scale;
my @parts = unpack "(A17)*", $grown;
print "strings ", length($grown), " ", scalar(@parts), " ", unpack( "%32C*", join "", reverse @parts ), "\n";

for my $child ( 1 .. 5 * $scale ) {
    my $pid = open my $from, "-|";
    die "cannot fork" unless defined $pid;
    if ( $pid == 0 ) {
        my %copy = map { $_ => scalar @{ $live{$_} } } grep { draw(2) } keys %live;
        undef %live;
        print "child $child ", length( "y" x ( 1000 * $child ) ), "\n";
        exit 0;
    }
    print <$from>;
    close $from or die "child failed: $?";
}
