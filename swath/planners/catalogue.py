"""The planners that come with Swath."""

from __future__ import annotations

from swath.planners.registry import PlannerInfo, register_planner

register_planner(
    PlannerInfo(
        "whole",
        "swath.planners.methods.whole:Whole",
        "one device alone, the one that is best at it",
        splits=("nothing",),
        objectives=("latency", "throughput", "energy"),
    )
)
register_planner(
    PlannerInfo(
        "even",
        "swath.planners.methods.even:Even",
        "shares by device speed; layers fused while a recomputed halo is cheaper than an exchange",
        splits=("rows", "cols", "grid", "channels", "batch"),
        options={
            "split": "rows, cols, grid, channels or batch; default: rows or channels, by stage"
        },
    )
)
register_planner(
    PlannerInfo(
        "dpfp",
        "swath.planners.methods.dpfp:Dpfp",
        "fused blocks of rows by dynamic programming, halos exchanged between neighbours",
        paper="Li et al., ICC 2022 and Computer Networks 2022",
        splits=("rows",),
        options={"subset": "true: the best of the k fastest devices; default: all of them"},
    )
)
register_planner(
    PlannerInfo(
        "modnn",
        "swath.planners.methods.modnn:Modnn",
        "every layer in strips of rows, gathered and handed out again by a leader",
        paper="Mao et al., DATE 2017",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "neurosurgeon",
        "swath.planners.methods.neurosurgeon:Neurosurgeon",
        "one cut: the beginning on the source, the rest on one other device",
        paper="Kang et al., ASPLOS 2017",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "edgeld",
        "swath.planners.methods.edgeld:Edgeld",
        "convolutions between pools in balanced columns on followers, the rest on the leader",
        paper="Xue et al., HPCC 2020",
        splits=("cols",),
    )
)
register_planner(
    PlannerInfo(
        "deepslicing",
        "swath.planners.methods.deepslicing:DeepSlicing",
        "rows in proportion to speed, synchronised every few layers",
        paper="Zhang et al., TPDS 2021",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "deepthings",
        "swath.planners.methods.deepthings:DeepThings",
        "the first layers fused into cells of a grid that idle devices take, the rest on one",
        paper="Zhao et al., TCAD 2018",
        splits=("grid",),
        options={
            "layers": "how many are fused; default: while maps outweigh filters",
            "cells": "of the grid, as square as can be; default: two for each device",
        },
    )
)
register_planner(
    PlannerInfo(
        "hu-split",
        "swath.planners.methods.hu_split:HuSplit",
        "every layer by rows so that all are done at the same time, in closed form",
        paper="Hu et al., JPDC 2024",
        splits=("rows",),
        options={"allocation": "share of each device for this task; default: all of each"},
    )
)
register_planner(
    PlannerInfo(
        "halp",
        "swath.planners.methods.halp:Halp",
        "a host computes what two others both need, so that sending hides behind computing",
        paper="Li et al., ICC 2022",
        splits=("rows",),
        fewest=3,
    )
)
register_planner(
    PlannerInfo(
        "fpm",
        "swath.planners.methods.ofpm.fpm:Fpm",
        "each layer on one device or in equal slices on several, and who gathers it: shortest path",
        paper="Shen, thesis 2023; OfpCNN, Yang et al., TPDS 2023",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "opm",
        "swath.planners.methods.ofpm.opm:Opm",
        "every layer on all devices, slices as high as devices and links allow",
        paper="Shen, thesis 2023; OfpCNN, Yang et al., TPDS 2023",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "ofpm",
        "swath.planners.methods.ofpm.ofpm:Ofpm",
        "opm's slices on fpm's shortest path",
        paper="Shen, thesis 2023; OfpCNN, Yang et al., TPDS 2023",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "aofl",
        "swath.planners.methods.aofl:Aofl",
        "the best runs of layers to fuse into equal cells of a grid, through a gateway",
        paper="Zhou et al., SEC 2019",
        splits=("grid",),
    )
)
register_planner(
    PlannerInfo(
        "iop",
        "swath.planners.methods.iop:Iop",
        "pairs of operators, output channels of one and input channels of the next, then one sum",
        paper="Interleaved Operator Partitioning, arXiv 2409.07693",
        splits=("output channels", "input channels"),
    )
)
register_planner(
    PlannerInfo(
        "coedge",
        "swath.planners.methods.coedge.coedge:CoEdge",
        "the same shares of rows of every map, found by a linear program under a deadline",
        paper="Zeng et al., ToN 2021",
        splits=("rows",),
        objectives=("latency", "energy"),
    )
)
register_planner(
    PlannerInfo(
        "pico",
        "swath.planners.methods.pico.pico:Pico",
        "a pipeline of groups of devices, each of which splits a run of layers by rows",
        paper="Yang et al., TMC 2023",
        splits=("rows",),
        objectives=("throughput",),
    )
)
register_planner(
    PlannerInfo(
        "auto",
        "swath.planners.auto.auto:Auto",
        "ours: the best cuts, splits, subsets and shares that are found, chosen by simulation",
        splits=("rows", "cols", "channels", "batch"),
        objectives=("latency", "throughput", "energy", "reliability"),
    )
)
register_planner(
    PlannerInfo(
        "edgeci",
        "swath.planners.methods.edgeci.edgeci:EdgeCI",
        "rows by auction to devices with time and room, on the best sequence of fused blocks",
        paper="Chen et al., TOIT 2024",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "awas",
        "swath.planners.methods.edgeci.awas:Awas",
        "edgeci's auction alone, on what lies between two pools, or single layers or modules",
        paper="Chen et al., TOIT 2024",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "awas-greedy",
        "swath.planners.methods.edgeci.awas_greedy:AwasGreedy",
        "the same blocks in chunks of rows, each to the lowest bid",
        paper="Chen et al., TOIT 2024",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "dpfl",
        "swath.planners.methods.edgeci.dpfl:Dpfl",
        "edgeci's fusing alone: the best sequence of fused blocks, in equal shares",
        paper="Chen et al., TOIT 2024",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "brute-force",
        "swath.planners.methods.brute_force:BruteForce",
        "the optimum of small instances: everything is tried on virtual time",
        splits=("rows", "cols", "channels"),
        objectives=("latency", "throughput", "energy"),
        options={
            "steps": "shares are multiples of one in so many; default 4",
            "modes": "how stages may be split; default rows,cols,channels",
            "limit": "plans above which it refuses; default 20000",
        },
    )
)
register_planner(
    PlannerInfo(
        "psomw",
        "swath.planners.methods.offload.psomw:Psomw",
        "paths of a fused block, each offloaded from one of its layers on: a particle swarm",
        paper="Zhou et al., TPDS 2023",
        splits=("rows",),
        options={
            "paths": "at most; default: 4, or as many as there are rows",
            "seed": "of the swarm; default 0",
        },
        fewest=2,
    )
)
register_planner(
    PlannerInfo(
        "mw",
        "swath.planners.methods.offload.mw:MinimisingWaiting",
        "psomw's paths without the swarm, one after the other so that nobody waits",
        paper="Li et al., GLOBECOM 2022",
        splits=("rows",),
        options={"paths": "at most; default: 4, or as many as there are rows"},
        fewest=2,
    )
)
register_planner(
    PlannerInfo(
        "nfl-local",
        "swath.planners.methods.offload.nfl:NflLocal",
        "no fused layers: all on the source",
        paper="Zhou et al., TPDS 2023",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "nfl-remote",
        "swath.planners.methods.offload.nfl:NflRemote",
        "no fused layers: all on a server",
        paper="Zhou et al., TPDS 2023",
        splits=("nothing",),
        fewest=2,
    )
)
register_planner(
    PlannerInfo(
        "nfl-bestcut",
        "swath.planners.methods.offload.nfl:NflBestCut",
        "no fused layers: the source up to the best cut, then a server",
        paper="Zhou et al., TPDS 2023",
        splits=("nothing",),
        fewest=2,
    )
)
register_planner(
    PlannerInfo(
        "offload-brute-force",
        "swath.planners.methods.offload.brute_force:OffloadBruteForce",
        "the optimum of psomw's ways, for small instances",
        paper="Zhou et al., TPDS 2023",
        splits=("rows",),
        options={
            "paths": "at most; default: 4, or as many as there are rows",
            "limit": "cuts and orders above which it refuses; default 300000",
        },
        fewest=2,
    )
)
