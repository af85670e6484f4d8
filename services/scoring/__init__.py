"""评分: campaigns, schemes and units; running scores as a fold of ballots, visits and cases;
rankings and what follows from them.
"""
