"""The planners that come with Swath."""

from __future__ import annotations

from swath.planners.registry import PlannerInfo, register_planner

register_planner(
    PlannerInfo(
        "whole",
        "swath.planners.whole:Whole",
        "one device alone, the one that is done first",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "even",
        "swath.planners.even:Even",
        "shares by device speed; layers fused while a recomputed halo is cheaper than an exchange",
        splits=("rows", "cols", "grid", "channels"),
        options={
            "split": "rows, cols, grid or channels; default: rows or channels, stage by stage"
        },
    )
)
register_planner(
    PlannerInfo(
        "dpfp",
        "swath.planners.dpfp:Dpfp",
        "fused blocks of rows by dynamic programming, halos exchanged between neighbours",
        paper="Li et al., ICC 2022 and Computer Networks 2022",
        splits=("rows",),
        options={"subset": "true: the best of the k fastest devices; default: all of them"},
    )
)
register_planner(
    PlannerInfo(
        "modnn",
        "swath.planners.modnn:Modnn",
        "every layer in strips of rows, gathered and handed out again by a leader",
        paper="Mao et al., DATE 2017",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "neurosurgeon",
        "swath.planners.neurosurgeon:Neurosurgeon",
        "one cut: the beginning on the source, the rest on one other device",
        paper="Kang et al., ASPLOS 2017",
        splits=("nothing",),
    )
)
register_planner(
    PlannerInfo(
        "edgeld",
        "swath.planners.edgeld:Edgeld",
        "convolutions between pools in balanced columns on followers, the rest on the leader",
        paper="Xue et al., HPCC 2020",
        splits=("cols",),
    )
)
register_planner(
    PlannerInfo(
        "deepslicing",
        "swath.planners.deepslicing:DeepSlicing",
        "rows in proportion to speed, synchronised every few layers",
        paper="Zhang et al., TPDS 2021",
        splits=("rows",),
    )
)
register_planner(
    PlannerInfo(
        "deepthings",
        "swath.planners.deepthings:DeepThings",
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
        "swath.planners.hu_split:HuSplit",
        "every layer by rows so that all are done at the same time, in closed form",
        paper="Hu et al., JPDC 2024",
        splits=("rows",),
        options={"allocation": "share of each device for this task; default: all of each"},
    )
)
register_planner(
    PlannerInfo(
        "halp",
        "swath.planners.halp:Halp",
        "a host computes what two others both need, so that sending hides behind computing",
        paper="Li et al., ICC 2022",
        splits=("rows",),
        fewest=3,
    )
)
