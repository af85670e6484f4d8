"""评分: campaigns, schemes and units; running scores folded from ballots, visits and cases;
rankings and their consequences.
"""
