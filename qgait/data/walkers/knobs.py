"""How much people, walks, clothes and segmentation differ: every strength that sets the difficulty of the data.

The values were set by comparing the gait energy images of 50 synthetic people and 50 people of CASIA-B
(tools/gait_energy_check.py). Raise an identity knob to tell people apart more easily, any other to make it harder.
"""

# --- who it is (drawn once a person) ---
# Share of the recorded difference between people. Below 1: some of it is how each skeleton was fitted.
IDENTITY_GAIT = 0.85
# Factor on the population's spread of bones and girths in people.py. Above 1: everyday clothes differ as well.
IDENTITY_BUILD = 1.2

# --- which walk it is (drawn once a sequence) ---
# Share of the recorded difference between a person's walks. Below 1: the recorded ones were asked to vary.
SEQUENCE_GAIT = 0.5
# Standard deviation of the log of girths: clothes sit a little differently each time.
SEQUENCE_BUILD = 0.015
# Standard deviation of the log of pace.
SEQUENCE_PACE = 0.04
# Share of the recorded difference between cycles. Below 1: part of it is the noise of fits to 30 frames.
CYCLE_GAIT = 0.5

# --- what is worn or carried ---
# Factor on what a coat adds to girths in clothes.py.
COAT_BULK = 1.4
# Factor on the size of bags in clothes.py.
BAG_SIZE = 1.12

# --- how it was seen ---
# Standard deviations of the walking direction, in degrees, and of the place across the path, in metres.
HEADING_DEGREES = 1.3
PATH_OFFSET = 0.10
# Factor on segmentation errors: 0 gives clean masks.
SEGMENTATION = 1.0
