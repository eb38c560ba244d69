"""How much people, walks, clothes and segmentation differ: every strength that sets the difficulty of the data.

The values were set by comparing gait-energy-image rank-1 of 50 synthetic people with 50 people of CASIA-B (same view:
normal, bag, coat); raise an identity knob to make people easier to tell apart, a sequence or clothing knob for harder.
"""

# --- who it is (drawn once a person) ---
# Ten recorded people in tight suits vary less than the public, and measured joint centres hide posture.
IDENTITY_GAIT = 0.85
# Log standard deviations and so on of the build in people.py are population values; 1.0 leaves them.
IDENTITY_BUILD = 1.05

# --- which walk it is (drawn once a sequence) ---
SEQUENCE_GAIT = 0.55
# Clothes sit differently, a hand is in another place: log standard deviation of girths between sequences.
SEQUENCE_BUILD = 0.02
# Standard deviation of log pace between walks of one person.
SEQUENCE_PACE = 0.045
# From cycle to cycle, as a share of what was measured (part of the measured variance is noise of short fits).
CYCLE_GAIT = 0.55

# --- what is worn or carried ---
# How much girth a coat adds, on average and from coat to coat, as a share of the drawn thickness in clothes.py.
COAT_BULK = 1.35
# How much a bag sticks out, as a share of the drawn size in clothes.py.
BAG_SIZE = 1.15

# --- how it was seen ---
# Standard deviation of the walking direction (degrees) and of the lateral place on the path (metres).
HEADING_DEGREES = 2.0
PATH_OFFSET = 0.12
# Strength of segmentation errors: 0 gives clean masks.
SEGMENTATION = 1.0
