/* Structures of small nodes: built, walked and taken apart. The order in which the heap hands out blocks decides how many cache
 * lines a walk touches, so this shows what no pair does. */
#include <stdlib.h>

#include "bench.h"

enum { TREE_DEPTH = 15, NODES = 20000, EDGES = 5 };

struct tree {
    struct tree *left, *right;
    uint64_t value;
};

static struct tree *tree_grow(unsigned depth, uint64_t value)
{
    struct tree *tree = bench_take(sizeof *tree);
    *tree = (struct tree){NULL, NULL, value};
    if (depth > 0) {
        tree->left = tree_grow(depth - 1, value * 2);
        tree->right = tree_grow(depth - 1, value * 2 + 1);
    }
    return tree;
}

static uint64_t tree_walk(const struct tree *tree)
{
    return tree == NULL ? 1 : tree->value + 3 * tree_walk(tree->left) + 5 * tree_walk(tree->right);
}

static void tree_drop(struct tree *tree)
{
    if (tree == NULL)
        return;
    tree_drop(tree->left);
    tree_drop(tree->right);
    free(tree);
}

/* Binary trees, complete, beside one that lives on: the shape of Boehm's GCBench and of its descendants. */
static struct outcome run_trees(const struct workload *self, double scale)
{
    uint64_t rounds = bench_times((double)self->count, scale, 1);
    struct outcome outcome = {(rounds + 1) << (TREE_DEPTH + 1), 0};
    struct tree *lasting = tree_grow(TREE_DEPTH, 1);
    for (uint64_t i = 0; i < rounds; i++) {
        struct tree *tree = tree_grow(TREE_DEPTH, i);
        outcome.checksum = outcome.checksum * 3 + tree_walk(tree) + tree_walk(lasting);
        tree_drop(tree);
    }
    tree_drop(lasting);
    return outcome;
}

struct node {
    struct edge *edges;
    uint64_t value;
    char name[40];
};

struct edge {
    struct edge *next;
    struct node *to;
};

static void node_connect(struct node *node, struct node *to)
{
    struct edge *edge = bench_take(sizeof *edge);
    *edge = (struct edge){node->edges, to};
    node->edges = edge;
}

static void node_disconnect(struct node *node)
{
    while (node->edges != NULL) {
        struct edge *next = node->edges->next;
        free(node->edges);
        node->edges = next;
    }
}

static struct node *node_new(uint64_t value)
{
    struct node *node = bench_take(sizeof *node);
    node->edges = NULL;
    node->value = value;
    return node;
}

/* A graph whose nodes gain edges one by one and lose them all at once, while their neighbours are looked at: networks, the object
 * graph of an editor. An operation is a node or an edge. */
static struct outcome run_graph(const struct workload *self, double scale)
{
    static struct node *nodes[NODES];
    struct random random = random_from(23);
    uint64_t changes = bench_times((double)self->count, scale, 1);
    struct outcome outcome = {NODES, 0};
    for (size_t i = 0; i < NODES; i++)
        nodes[i] = node_new(i);
    for (uint64_t i = 0; i < changes; i++) {
        struct node *node = nodes[random_below(&random, NODES)];
        unsigned degree = 0;
        for (struct edge *edge = node->edges; edge != NULL; edge = edge->next, degree++)
            outcome.checksum = outcome.checksum * 3 + edge->to->value;
        if (degree < EDGES) {
            node_connect(node, nodes[random_below(&random, NODES)]);
            outcome.operations++;
            continue;
        }
        node_disconnect(node);
        node->value = i;
    }
    for (size_t i = 0; i < NODES; i++) {
        node_disconnect(nodes[i]);
        free(nodes[i]);
    }
    return outcome;
}

const struct workload graph_workloads[] = {
    {"trees", "single", run_trees, 0, 60},
    {"graph", "single", run_graph, 0, 6000000},
    {NULL, NULL, NULL, 0, 0},
};
