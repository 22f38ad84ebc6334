"""Evaluate the saved trials of a CelebAMask-HQ experiment again and write its result tables.

python get_out_put_celeb.py --exp_name 8_2_multi_seg_male_smile_ --num_trials 5
"""

from get_outputs import main
from utils.console import run_script

if __name__ == "__main__":
    run_script(lambda: main(__doc__, "celebA", "folder of CelebAMask-HQ"))
